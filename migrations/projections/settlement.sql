-- Read model `settlement`: settlements, and the captures that they take.
--
-- Which settlement takes a capture is not written down: it follows from the order. The settlements of a
-- merchant and currency never reach back (what is captured behind one settles on its last day or later), so
-- each takes the captures between the place of the one before it and its own, in the order of
-- (settles_on, position): one range of an index, however many they are.

CREATE TABLE settlements (
    id text PRIMARY KEY,
    merchant_id text NOT NULL,
    currency text NOT NULL,
    through_day date NOT NULL,
    count bigint NOT NULL,
    gross bigint NOT NULL,
    fees bigint NOT NULL,
    absorbed bigint NOT NULL,
    amount bigint NOT NULL,
    created_at timestamptz NOT NULL,
    position bigint NOT NULL
);
CREATE UNIQUE INDEX settlements_order ON settlements (merchant_id, currency, position);
CREATE INDEX settlements_merchant ON settlements (merchant_id, id);

CREATE TABLE captures (
    merchant_id text NOT NULL,
    currency text NOT NULL,
    settles_on date NOT NULL,
    position bigint NOT NULL,
    payment_id text NOT NULL,
    amount bigint NOT NULL,
    fee bigint NOT NULL,
    captured_at timestamptz NOT NULL
);

-- Made once the rows are there:
CREATE UNIQUE INDEX captures_pkey ON captures (merchant_id, currency, settles_on, position);
