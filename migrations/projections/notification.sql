-- Read model `notification`: what clients and merchants are told: facts, not sentences.

CREATE TABLE notifications (
    recipient text NOT NULL,
    position bigint NOT NULL,
    kind text NOT NULL,
    payment_id text,
    data text NOT NULL,
    created_at timestamptz NOT NULL
);

-- Made once the rows are there:
CREATE UNIQUE INDEX notifications_pkey ON notifications (recipient, position);
CREATE INDEX notifications_position ON notifications (position, recipient);
