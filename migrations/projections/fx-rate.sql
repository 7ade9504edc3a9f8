-- Read model `fx-rate`: every rate that was ever set; the last one of a pair of currencies is the one in use.

CREATE TABLE fx_rates (
    position bigint PRIMARY KEY,
    pair text NOT NULL,
    from_currency text NOT NULL,
    to_currency text NOT NULL,
    rate text NOT NULL,
    valid_until timestamptz NOT NULL,
    created_at timestamptz NOT NULL
);
COMMENT ON COLUMN fx_rates.pair IS 'the stream of the pair: fx_EURUSD';
CREATE INDEX fx_rates_from ON fx_rates (from_currency, to_currency, position DESC);
CREATE INDEX fx_rates_to ON fx_rates (to_currency, position DESC);
