-- What the write side decides on without replaying streams, and what it must remember of requests. All of
-- it is written in the transaction of the events (I5), and `audit verify` refolds it from the log.

-- The first answer of every request, by its idempotency key: a later request with the same key gets it
-- again. `key` is 16 bytes of an HMAC over owner and key; a uuid is PostgreSQL's fixed 16-byte type.
CREATE TABLE outcomes (
    key uuid CONSTRAINT outcomes_key PRIMARY KEY,
    fingerprint uuid NOT NULL,
    status smallint NOT NULL,
    position bigint NOT NULL,
    answer text NOT NULL
);

-- Clients and merchants, folded from their streams.
CREATE TABLE owners (
    id text CONSTRAINT owners_id PRIMARY KEY,
    state text NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL
);

-- All accounts of one owner in one currency: one row to read, one to write. Clients use available and
-- held, merchants the rest. House accounts have no floor, so the write side does not keep them.
--
-- There is one row per owner and currency, although `version` is in the key: so an update finds the row
-- that it decided on in one step, however many dead ones of a hot account a long snapshot keeps alive
-- (docs/decisions.md). That there is only one, the insert makes sure of and the auditor checks.
CREATE TABLE balances (
    owner text NOT NULL,
    currency text NOT NULL,
    available bigint NOT NULL,
    held bigint NOT NULL CONSTRAINT balances_held_floor CHECK (held >= 0),
    pending bigint NOT NULL CONSTRAINT balances_pending_floor CHECK (pending >= 0),
    reserved bigint NOT NULL CONSTRAINT balances_reserved_floor CHECK (reserved >= 0),
    in_transit bigint NOT NULL CONSTRAINT balances_in_transit_floor CHECK (in_transit >= 0),
    drawn bigint NOT NULL CONSTRAINT balances_drawn_floor CHECK (drawn >= 0),
    unsettled text NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT balances_owner PRIMARY KEY (owner, currency, version),
    CONSTRAINT balances_client_floor CHECK (available >= 0 OR owner LIKE 'mer\_%')
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

-- The number of a card is known by its keyed fingerprint only. `state` is folded from the card's stream
-- and from the attempts to pay with it.
CREATE TABLE cards (
    fingerprint bytea CONSTRAINT cards_fingerprint PRIMARY KEY CHECK (octet_length(fingerprint) = 32),
    id text NOT NULL CONSTRAINT cards_id UNIQUE,
    state text NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL
);

-- One key per person, wrapped by the master key. Deleting a row erases the person's fields from the log.
CREATE TABLE subject_keys (
    subject text CONSTRAINT subject_keys_subject PRIMARY KEY,
    wrapped bytea NOT NULL
);

CREATE TABLE api_keys (
    id text CONSTRAINT api_keys_id PRIMARY KEY,
    secret_hash bytea NOT NULL CONSTRAINT api_keys_secret_hash UNIQUE CHECK (octet_length(secret_hash) = 32),
    role text NOT NULL CONSTRAINT api_keys_role CHECK (role IN ('operator', 'merchant', 'auditor', 'analyst')),
    merchant_id text CONSTRAINT api_keys_merchant CHECK ((role = 'merchant') = (merchant_id IS NOT NULL)),
    revoked boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL
);
-- What the query API may know of keys.
CREATE VIEW api_keys_view AS SELECT id, secret_hash, role, merchant_id, revoked, created_at, updated_at, position FROM api_keys;

-- A process whose keys are not those of the log would make fingerprints that find nothing: it compares
-- these check values at its start and refuses.
CREATE TABLE key_check (
    purpose text NOT NULL,
    key_id integer NOT NULL,
    check_value bytea NOT NULL,
    CONSTRAINT key_check_purpose PRIMARY KEY (purpose, key_id)
);

-- The first transaction of a writer's connection writes here: a row in the WAL, so that a synchronous
-- standby has all that a replayed answer says before it is said.
CREATE TABLE writer_sessions (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT writer_sessions_id PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
