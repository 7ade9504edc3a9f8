-- Whether a generation has the indexes that only queries ask for. A long log is folded without them, several
-- times as fast, and they are made in one go when its end is near (see projections/). What was made before had
-- them from the beginning.

ALTER TABLE projections ADD COLUMN indexed boolean NOT NULL DEFAULT true;
