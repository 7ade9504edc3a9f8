-- Corrections name an event by its id, and an event is corrected once: both are looked up in the log itself,
-- whichever version wrote it.

-- The events that can be corrected, by id. Rare beside payments, whose appends pay nothing for it.
CREATE INDEX events_correctable ON events ((canonical::jsonb ->> 'event_id'))
    WHERE type IN ('client.deposited', 'client.withdrawn', 'merchant.deposited', 'payout.paid', 'payment.dispute_lost');

-- A program that does not know these events, or those of bank statements, could not read their streams.
UPDATE log_identity SET min_writer_version = 2;

-- What corrects an event, by that event's id; under the log's lock.
CREATE INDEX events_correction ON events ((canonical::jsonb #>> '{data,reverses}')) WHERE type = 'journal.corrected';
