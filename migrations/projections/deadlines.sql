-- Read model `deadlines`: what is due, and when. A hint for the schedulers: what they ask for is decided again
-- on the log, so a row that is late or stale does no harm.
--
-- kind                     subject                      due_at
-- authorization_expiring   payment                      a day before expires_at: to tell of it
-- authorization_expiry     payment                      expires_at
-- dispute_response         dispute                      respond_by
-- settlement               merchant:currency:day        the start of the day, UTC; of the day after the capture's
--                                                       if that is later
--
-- A row goes once it has happened, or has nothing left to happen to. Once it was due, it does not come again.

CREATE TABLE deadlines (
    kind text NOT NULL,
    subject text NOT NULL,
    due_at timestamptz NOT NULL,
    payment_id text,
    client_id text,
    merchant_id text NOT NULL,
    currency text,
    settles_on date,
    capturable bigint,
    PRIMARY KEY (kind, subject)
) WITH (fillfactor = 80);
COMMENT ON COLUMN deadlines.currency IS 'of a settlement, like settles_on';
COMMENT ON COLUMN deadlines.capturable IS 'of an authorization_expiry: what is left of it';
CREATE INDEX deadlines_due ON deadlines (due_at, kind, subject);
CREATE INDEX deadlines_unsettled ON deadlines (merchant_id, currency, settles_on) WHERE kind = 'settlement';
