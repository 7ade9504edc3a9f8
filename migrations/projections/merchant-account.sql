-- Read model `merchant-account`: merchants, their balances, one entry per posting, and what was paid out.

CREATE TABLE merchants (
    id text PRIMARY KEY,
    name text NOT NULL,
    status text NOT NULL,
    settings text NOT NULL,
    metadata text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    position bigint NOT NULL
);
COMMENT ON COLUMN merchants.settings IS 'JSON: fee, fee_version, settlement_delay_days, refund_fee, negative_limit';

CREATE TABLE merchant_balances (
    merchant_id text NOT NULL,
    currency text NOT NULL,
    pending bigint NOT NULL,
    available bigint NOT NULL,
    reserved bigint NOT NULL,
    in_transit bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (merchant_id, currency)
) WITH (fillfactor = 70);

-- `account` is 'pending', 'available', 'reserved' or 'in_transit'.
CREATE TABLE merchant_entries (
    merchant_id text NOT NULL,
    position bigint NOT NULL,
    ordinal smallint NOT NULL,
    account text NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL,
    balance_after bigint NOT NULL,
    type text NOT NULL,
    payment_id text,
    recorded_at timestamptz NOT NULL
);

-- What has left for the bank and not come back, after each payout that was paid or returned. No account of
-- the books: that is the bank's.
CREATE TABLE merchant_paid_out (
    merchant_id text NOT NULL,
    currency text NOT NULL,
    position bigint NOT NULL,
    paid_out_after bigint NOT NULL,
    PRIMARY KEY (merchant_id, currency, position)
);

-- Made once the rows are there:
CREATE UNIQUE INDEX merchant_entries_pkey ON merchant_entries (merchant_id, position, ordinal);
CREATE INDEX merchant_entries_account ON merchant_entries (merchant_id, currency, account, position, ordinal);
