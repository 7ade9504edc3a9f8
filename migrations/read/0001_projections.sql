-- Where each read model stands. Its tables live in a schema of their own, `<name>_<generation>`, so that a
-- rebuilt generation can grow beside the live one and be switched in by one row. The checkpoint moves in
-- the transaction of the rows (I6); (position, leaf_hash) names the history that they come from (I14).

CREATE TABLE projections (
    name text NOT NULL,
    generation integer NOT NULL,
    active boolean NOT NULL,
    position bigint NOT NULL,
    leaf_hash bytea NOT NULL CHECK (octet_length(leaf_hash) = 32),
    status text NOT NULL CONSTRAINT projections_status CHECK (status IN ('live', 'catching_up', 'rebuilding', 'stopped')),
    holes_filled bigint NOT NULL DEFAULT 0,
    last_error text,
    CONSTRAINT projections_name PRIMARY KEY (name, generation)
) WITH (fillfactor = 10);
CREATE UNIQUE INDEX projections_one_active ON projections (name) WHERE active;

-- Keys (ids of clients, merchants, payments …) whose rows an event could not be applied to. They stand
-- still at that event until it is retried; all others go on.
CREATE TABLE parked_keys (
    name text NOT NULL,
    generation integer NOT NULL,
    key text NOT NULL,
    position bigint NOT NULL,
    error text NOT NULL,
    CONSTRAINT parked_keys_key PRIMARY KEY (name, generation, key)
);
-- The events that wait, in order: the first that failed and all later ones that touch its keys.
CREATE TABLE parked_events (
    name text NOT NULL,
    generation integer NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT parked_events_position PRIMARY KEY (name, generation, position)
);
