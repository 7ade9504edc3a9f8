-- Read model `house-account`: the house's own accounts. A model of its own, so that one merchant's
-- parked event does not hold up the house's books, nor the other way round. Totals of the house can
-- pass 2^63, hence numeric.

CREATE TABLE house_balances (
    account text NOT NULL,
    currency text NOT NULL,
    debits numeric NOT NULL,
    credits numeric NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (account, currency)
) WITH (fillfactor = 70);

-- `account` is 'fees', 'bank', 'fx' or 'losses'; the totals after the entry make any past moment's balance.
CREATE TABLE house_entries (
    account text NOT NULL,
    currency text NOT NULL,
    position bigint NOT NULL,
    debit bigint NOT NULL,
    credit bigint NOT NULL,
    debits_after numeric NOT NULL,
    credits_after numeric NOT NULL
);

-- Made once the rows are there:
CREATE UNIQUE INDEX house_entries_pkey ON house_entries (account, currency, position);
