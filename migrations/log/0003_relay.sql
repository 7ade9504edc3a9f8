-- How far the log has been carried to the broker, and of which history that is (I14): everything up to here
-- was confirmed. Relays only ever raise it; one that starts anew goes on from here. Whatever it holds, read
-- models follow the log. `resets` counts how often an operator has said that the log was restored: relays
-- that were stopped by that go on from here.

CREATE TABLE relay_cursor (
    one boolean CONSTRAINT relay_cursor_one PRIMARY KEY DEFAULT true CHECK (one),
    position bigint NOT NULL DEFAULT 0,
    leaf_hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex') CHECK (octet_length(leaf_hash) = 32),
    resets integer NOT NULL DEFAULT 0
) WITH (fillfactor = 10);
INSERT INTO relay_cursor DEFAULT VALUES;
