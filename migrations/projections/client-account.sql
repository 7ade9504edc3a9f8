-- Read model `client-account`: clients, their cards, balances, and one entry per posting.
-- Personal fields are plain here: the tables can be dropped and folded again from the log.

CREATE TABLE clients (
    id text PRIMARY KEY,
    name text,
    email text,
    metadata text,
    status text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    position bigint NOT NULL
);

CREATE TABLE client_cards (
    id text PRIMARY KEY,
    client_id text NOT NULL,
    brand text NOT NULL,
    last4 text NOT NULL,
    exp_month smallint NOT NULL,
    exp_year smallint NOT NULL,
    status text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    position bigint NOT NULL
);

CREATE TABLE client_balances (
    client_id text NOT NULL,
    currency text NOT NULL,
    available bigint NOT NULL,
    held bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (client_id, currency)
) WITH (fillfactor = 70);

-- `account` is 'available' or 'held'; `balance_after` is that account's balance in that currency.
-- A past moment's balance is the last entry at or below its position.
CREATE TABLE client_entries (
    client_id text NOT NULL,
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

-- Made once the rows are there:
CREATE UNIQUE INDEX client_entries_pkey ON client_entries (client_id, position, ordinal);
CREATE INDEX client_entries_account ON client_entries (client_id, currency, account, position, ordinal);
CREATE INDEX client_cards_client ON client_cards (client_id, id);
