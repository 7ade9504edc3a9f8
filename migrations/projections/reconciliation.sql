-- Read model `reconciliation`: bank statements as they were compared with the ledger, and their items.
-- References are plain here: the tables can be dropped and folded again from the log.

CREATE TABLE reconciliations (
    id text PRIMARY KEY,
    format text NOT NULL,
    file_hash text NOT NULL,
    from_day date NOT NULL,
    to_day date NOT NULL,
    -- JSON.
    currencies text NOT NULL,
    lines bigint NOT NULL,
    through_position bigint NOT NULL,
    matched bigint NOT NULL,
    missing_here bigint NOT NULL,
    missing_there bigint NOT NULL,
    amount_differs bigint NOT NULL,
    duplicate bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    position bigint NOT NULL
);

-- An item's place is that of its event and its own in the event: the differences come first. What a line or a
-- movement has is NULL where the item has none.
CREATE TABLE reconciliation_items (
    reconciliation_id text NOT NULL,
    position bigint NOT NULL,
    ordinal integer NOT NULL,
    result text NOT NULL,
    line_number bigint,
    line_date date,
    line_direction text,
    line_amount bigint,
    line_currency text,
    line_reference text,
    movement_event_id text,
    movement_position bigint,
    movement_type text,
    movement_stream_id text,
    movement_date date,
    movement_amount bigint,
    movement_currency text,
    movement_reference text,
    PRIMARY KEY (reconciliation_id, position, ordinal)
);
