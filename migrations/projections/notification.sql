-- Read model `notification`: what clients and merchants are told: facts, not sentences. A row tells both of an event.

CREATE TABLE notifications (
    position bigint NOT NULL,
    kind text NOT NULL,
    client_id text,
    merchant_id text,
    payment_id text,
    data text NOT NULL,
    created_at timestamptz NOT NULL
);

-- Made once the rows are there:
CREATE UNIQUE INDEX notifications_pkey ON notifications (position);
CREATE INDEX notifications_client ON notifications (client_id, position) WHERE client_id IS NOT NULL;
CREATE INDEX notifications_merchant ON notifications (merchant_id, position) WHERE merchant_id IS NOT NULL;
