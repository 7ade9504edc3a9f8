-- The whole life cycle: what the write side must know to close a client and to settle without reading
-- streams, and how a dispute is found by its id.

-- Authorizations that can still be captured and open disputes, per client and currency: a client with any
-- is not closed. Merchants have none.
ALTER TABLE balances ADD COLUMN open bigint NOT NULL DEFAULT 0 CONSTRAINT balances_open_floor CHECK (open >= 0);

-- A dispute is in its payment's stream. Rare, so the index is small.
CREATE INDEX events_dispute ON events ((canonical::jsonb #>> '{data,dispute_id}')) WHERE type = 'payment.disputed';

-- Rows that an earlier version wrote, folded anew from the log as this version folds them.
UPDATE balances SET open = counted.open
FROM (SELECT client, currency, count(*) AS open
      FROM (SELECT stream_id, max(canonical::jsonb #>> '{data,client_id}') AS client,
                   max(canonical::jsonb #>> '{data,amount,currency}') AS currency,
                   sum(CASE type WHEN 'payment.authorized' THEN (canonical::jsonb #>> '{data,amount,amount}')::bigint
                                 WHEN 'payment.voided' THEN -(canonical::jsonb #>> '{data,amount,amount}')::bigint
                                 WHEN 'payment.captured' THEN -(canonical::jsonb #>> '{data,amount,amount}')::bigint
                                                              - (canonical::jsonb #>> '{data,released,amount}')::bigint
                       END) AS capturable
            FROM events WHERE type IN ('payment.authorized', 'payment.voided', 'payment.captured')
            GROUP BY stream_id) AS payments
      WHERE capturable > 0 GROUP BY client, currency) AS counted
WHERE balances.owner = counted.client AND balances.currency = counted.currency;

UPDATE balances SET unsettled = days.unsettled
FROM (SELECT merchant, currency, json_object_agg(day, json_build_object('count', captures, 'gross', gross, 'fees', fees))::text AS unsettled
      FROM (SELECT canonical::jsonb #>> '{data,merchant_id}' AS merchant,
                   canonical::jsonb #>> '{data,amount,currency}' AS currency,
                   canonical::jsonb #>> '{data,settles_on}' AS day, count(*) AS captures,
                   sum((canonical::jsonb #>> '{data,amount,amount}')::bigint) AS gross,
                   sum((canonical::jsonb #>> '{data,fee,amount}')::bigint) AS fees
            FROM events WHERE type = 'payment.captured' GROUP BY 1, 2, 3) AS captured
      GROUP BY merchant, currency) AS days
WHERE balances.owner = days.merchant AND balances.currency = days.currency;

UPDATE owners SET state = (state::jsonb || '{"status": "active"}')::text WHERE id LIKE 'mer\_%';
UPDATE owners SET state = (state::jsonb || jsonb_build_object('status', 'open', 'currencies', (
    SELECT coalesce(jsonb_agg(DISTINCT balances.currency), '[]') FROM balances WHERE balances.owner = owners.id)))::text
WHERE id LIKE 'cli\_%';
