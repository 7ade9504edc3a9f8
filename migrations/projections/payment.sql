-- Read model `payment`: one row a payment, found by the filters of the API, its refunds and its disputes.

CREATE TABLE payments (
    id text PRIMARY KEY,
    merchant_id text NOT NULL,
    client_id text,
    status text NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL,
    authorized bigint NOT NULL,
    captured bigint NOT NULL,
    released bigint NOT NULL,
    refunded bigint NOT NULL,
    disputed bigint NOT NULL,
    charged_back bigint NOT NULL,
    fee bigint NOT NULL,
    funding_currency text,
    funding_rate text,
    funding_held bigint,
    funding_captured bigint,
    funding_refunded bigint,
    card_id text,
    card_brand text,
    card_last4 text NOT NULL,
    exp_month smallint NOT NULL,
    exp_year smallint NOT NULL,
    capture text NOT NULL,
    reference text,
    description text,
    metadata text,
    decline_code text,
    expires_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    position bigint NOT NULL
) WITH (fillfactor = 80);
COMMENT ON COLUMN payments.disputed IS 'what open disputes hold';
COMMENT ON COLUMN payments.funding_currency IS 'the currency that pays; NULL where it is the payment''s own';
COMMENT ON COLUMN payments.funding_held IS 'what is held now, in the currency that pays, like the next two';

CREATE TABLE refunds (
    id text PRIMARY KEY,
    payment_id text NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL,
    reason text,
    created_at timestamptz NOT NULL,
    position bigint NOT NULL
);

-- Personal fields are plain here, as in `payments`: the tables can be dropped and folded again from the log.
CREATE TABLE disputes (
    id text PRIMARY KEY,
    payment_id text NOT NULL,
    merchant_id text NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL,
    reason text,
    status text NOT NULL,
    respond_by timestamptz NOT NULL,
    evidence text,
    reopened boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    position bigint NOT NULL
);
CREATE INDEX disputes_payment ON disputes (payment_id, id);

-- Made once the rows are there:
-- Lists are newest first: ids are UUIDv7, so they are born in order, and an index grows at the end of each list.
CREATE INDEX payments_merchant ON payments (merchant_id, id);
CREATE INDEX payments_client ON payments (client_id, id);
CREATE INDEX payments_status ON payments (status, id);
CREATE INDEX payments_currency ON payments (currency, id);
CREATE INDEX payments_reference ON payments (reference, id) WHERE reference IS NOT NULL;
CREATE INDEX payments_amount ON payments (amount);
CREATE INDEX payments_created ON payments (created_at);
CREATE INDEX refunds_payment ON refunds (payment_id, id);
CREATE INDEX disputes_merchant ON disputes (merchant_id, id);
CREATE INDEX disputes_status ON disputes (status, id);
