-- Bank statements are compared with what the ledger expects at the bank: the events that move money there, by
-- their positions, which rise with their moments. Most events are not among them, so the index is small. A query
-- has to name the same types to be answered by it.
CREATE INDEX events_bank_movement ON events (position)
    WHERE type IN ('client.deposited', 'client.withdrawn', 'merchant.deposited', 'payout.paid', 'payout.returned');

-- A file is compared once: its run is found by the SHA-256 of its bytes.
CREATE INDEX events_reconciled_file ON events ((canonical::jsonb #>> '{data,file_hash}')) WHERE type = 'reconciliation.run';
