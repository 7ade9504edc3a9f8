-- Read model `correction`: one row a correction, for the operator who approves it and for whoever asks later.
-- The reason is plain here: the table can be dropped and folded again from the log.

CREATE TABLE corrections (
    id text PRIMARY KEY,
    status text NOT NULL,
    reverses text NOT NULL,
    reverses_type text NOT NULL,
    reverses_position bigint NOT NULL,
    reverses_stream text NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL,
    effective_date date NOT NULL,
    reason text,
    requested_by text NOT NULL,
    approved_by text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    position bigint NOT NULL
);
COMMENT ON COLUMN corrections.approved_by IS 'NULL until then';
CREATE INDEX corrections_status ON corrections (status, id DESC);
CREATE INDEX corrections_reverses ON corrections (reverses, id DESC);
