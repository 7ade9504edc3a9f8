-- The log: the one truth. Everything else in the system follows from it.
--
-- One plain table. Positions come from the lock, not from a sequence (I2): a sequence hands out numbers
-- before COMMIT and never takes them back, so readers would meet gaps that may or may not fill. The
-- canonical text is kept byte for byte as it was hashed; `event_view` shows it as JSON to people. Moments rise
-- with positions, so no index on time is paid for: a moment is found by halving the positions.

CREATE TABLE log_lock ();
COMMENT ON TABLE log_lock IS 'Empty. Who holds it in EXCLUSIVE MODE may append; waiters are served in order, and no row dies of it.';

CREATE TABLE log_identity (
    one boolean CONSTRAINT log_identity_one PRIMARY KEY DEFAULT true CHECK (one),
    log_id uuid NOT NULL DEFAULT gen_random_uuid(),
    min_writer_version integer NOT NULL DEFAULT 1
);
INSERT INTO log_identity DEFAULT VALUES;

CREATE TABLE events (
    position bigint CONSTRAINT events_position PRIMARY KEY CHECK (position > 0),
    stream_id text NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    type text NOT NULL,
    recorded_at timestamptz NOT NULL,
    canonical text NOT NULL CHECK (octet_length(canonical) <= 131072),
    leaf_hash bytea NOT NULL CHECK (octet_length(leaf_hash) = 32),
    CONSTRAINT events_stream_version UNIQUE (stream_id, version)
);

CREATE VIEW event_view AS
    SELECT position, stream_id, version, type, recorded_at, canonical::jsonb -> 'data' AS data,
           canonical::jsonb -> 'postings' AS postings, canonical::jsonb ->> 'actor' AS actor,
           canonical::jsonb ->> 'request_id' AS request_id
    FROM events;

-- Statement triggers, so that not even a statement that would touch no row passes; ALWAYS, so that they
-- fire under session_replication_role = replica too (I1). Grants stop the other roles; an owner who drops
-- the triggers is caught by checkpoints kept elsewhere.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are never changed: % on % refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER events_are_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE events ENABLE ALWAYS TRIGGER events_are_immutable;
