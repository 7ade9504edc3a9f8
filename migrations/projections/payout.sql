-- Read model `payout`: one row a payout, as the bank's last news has it.
-- The reason is plain here: the table can be dropped and folded again from the log.

CREATE TABLE payouts (
    id text PRIMARY KEY,
    merchant_id text NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL,
    status text NOT NULL,
    reference text,
    reason text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    position bigint NOT NULL
);
CREATE INDEX payouts_merchant ON payouts (merchant_id, id DESC);
CREATE INDEX payouts_status ON payouts (status, id DESC);
CREATE INDEX payouts_reference ON payouts (reference, id DESC) WHERE reference IS NOT NULL;
