-- Which tables each generation was made with: the SHA-256 of their SQL. A program of another version neither
-- reads nor folds them; its projectors begin a generation of their own. NULL: made before shapes were kept.

ALTER TABLE projections ADD COLUMN shape bytea CONSTRAINT projections_shape CHECK (octet_length(shape) = 32);
