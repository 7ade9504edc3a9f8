//! `house-account`: the house's own accounts, debits and credits apart.

use std::collections::BTreeMap;

use async_trait::async_trait;
use event_store::read_model::{self, ReadModel};
use ledger_core::journal::Leg;
use ledger_core::{Account, Envelope};
use sqlx::PgConnection;

use crate::projection::{ApplyError, Decoded, Projection};

/// The one key: the house's rows are read together, so they stand still together.
const HOUSE: &str = "house";

/// The projection.
pub(super) struct HouseAccount;

#[async_trait]
impl Projection for HouseAccount {
    fn model(&self) -> ReadModel {
        read_model::HOUSE_ACCOUNT
    }

    fn keys(&self, event: &Envelope) -> Vec<String> {
        let mut postings = event.draft.postings.postings().iter();
        let touched = postings.any(|posting| short_name(posting.account).is_some());
        touched.then(|| HOUSE.to_owned()).into_iter().collect()
    }

    async fn apply(&self, tables: &mut PgConnection, events: &[&Decoded]) -> Result<(), ApplyError> {
        let mut entries: Vec<Entry> = events.iter().flat_map(|event| entries_of(event)).collect();
        if entries.is_empty() {
            return Ok(());
        }
        let mut totals = load_totals(tables).await?;
        run_totals(&mut entries, &mut totals);
        write_totals(tables, &totals).await?;
        Ok(write_entries(tables, &entries).await?)
    }
}

/// Returns the name of a house account in the tables.
const fn short_name(account: Account) -> Option<&'static str> {
    match account {
        Account::HouseFees => Some("fees"),
        Account::HouseBank => Some("bank"),
        Account::HouseFx => Some("fx"),
        Account::HouseLosses => Some("losses"),
        Account::ClientAvailable(_)
        | Account::ClientHeld(_)
        | Account::MerchantPending(_)
        | Account::MerchantAvailable(_)
        | Account::MerchantReserved(_)
        | Account::MerchantInTransit(_) => None,
    }
}

/// What one event does to one account in one currency.
struct Entry {
    account: &'static str,
    currency: String,
    position: i64,
    debit: i64,
    credit: i64,
    after: Total,
}

/// The totals of one account in one currency; they can pass 2^63.
#[derive(Clone, Copy, Default)]
struct Total {
    debits: i128,
    credits: i128,
    /// The last event of this batch; 0 where there is none.
    position: i64,
}

type Totals = BTreeMap<(String, String), Total>;

fn entries_of(event: &Decoded) -> Vec<Entry> {
    let mut sums: BTreeMap<(&'static str, String), (i64, i64)> = BTreeMap::new();
    for posting in event.envelope.draft.postings.postings() {
        let Some(account) = short_name(posting.account) else { continue };
        let (debit, credit) = sums.entry((account, posting.money().currency.to_string())).or_default();
        match posting.leg {
            Leg::Debit(money) => *debit += money.amount,
            Leg::Credit(money) => *credit += money.amount,
        }
    }
    let entry = |((account, currency), (debit, credit))| Entry {
        account,
        currency,
        position: event.position(),
        debit,
        credit,
        after: Total::default(),
    };
    sums.into_iter().map(entry).collect()
}

fn run_totals(entries: &mut [Entry], totals: &mut Totals) {
    for entry in entries {
        let total = totals.entry((entry.account.to_owned(), entry.currency.clone())).or_default();
        total.debits += i128::from(entry.debit);
        total.credits += i128::from(entry.credit);
        total.position = entry.position;
        entry.after = *total;
    }
    totals.retain(|_, total| total.position > 0);
}

/// Loads all totals: there are a few per currency.
async fn load_totals(tables: &mut PgConnection) -> Result<Totals, sqlx::Error> {
    let rows: Vec<(String, String, String, String)> =
        sqlx::query_as("SELECT account, currency, debits::text, credits::text FROM house_balances")
            .fetch_all(tables)
            .await?;
    let number = |text: String| text.parse::<i128>().map_err(|error| sqlx::Error::Decode(error.into()));
    rows.into_iter()
        .map(|(account, currency, debits, credits)| {
            let total = Total { debits: number(debits)?, credits: number(credits)?, position: 0 };
            Ok(((account, currency), total))
        })
        .collect()
}

async fn write_totals(tables: &mut PgConnection, totals: &Totals) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO house_balances (account, currency, debits, credits, position)
         SELECT account, currency, debits::numeric, credits::numeric, position
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
              AS new (account, currency, debits, credits, position)
         ON CONFLICT (account, currency) DO UPDATE
         SET debits = excluded.debits, credits = excluded.credits, position = excluded.position",
    )
    .bind(totals.keys().map(|(account, _)| account.as_str()).collect::<Vec<_>>())
    .bind(totals.keys().map(|(_, currency)| currency.as_str()).collect::<Vec<_>>())
    .bind(totals.values().map(|total| total.debits.to_string()).collect::<Vec<_>>())
    .bind(totals.values().map(|total| total.credits.to_string()).collect::<Vec<_>>())
    .bind(totals.values().map(|total| total.position).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}

async fn write_entries(tables: &mut PgConnection, entries: &[Entry]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO house_entries (account, currency, position, debit, credit, debits_after, credits_after)
         SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::bigint[]), unnest($4::bigint[]),
                unnest($5::bigint[]), unnest($6::text[])::numeric, unnest($7::text[])::numeric",
    )
    .bind(entries.iter().map(|entry| entry.account).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.currency.as_str()).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.position).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.debit).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.credit).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.after.debits.to_string()).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.after.credits.to_string()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{client, merchant, moving, payment};

    #[test]
    fn an_event_is_one_entry_for_each_account_and_currency() {
        let held = Account::ClientHeld(client(1));
        let events = [
            moving(
                3,
                payment(1),
                &[(held, Account::MerchantPending(merchant(1)), 90), (held, Account::HouseFees, 10)],
            ),
            moving(4, payment(1), &[(Account::HouseFees, Account::ClientAvailable(client(1)), 4)]),
        ];
        let mut entries: Vec<Entry> = events.iter().flat_map(entries_of).collect();
        let before = |account: &str| {
            ((account.to_owned(), "EUR".to_owned()), Total { debits: 1, credits: 2, position: 0 })
        };
        let mut totals = Totals::from([before("fees"), before("bank")]);
        run_totals(&mut entries, &mut totals);
        let seen: Vec<_> = entries
            .iter()
            .map(|of| (of.account, of.position, of.debit, of.credit, of.after.debits, of.after.credits))
            .collect();
        assert_eq!(seen, [("fees", 3, 0, 10, 1, 12), ("fees", 4, 4, 0, 5, 12)]);
        // What the batch did not touch is not written again.
        assert_eq!(totals.keys().map(|(account, _)| account.as_str()).collect::<Vec<_>>(), ["fees"]);
    }

    #[test]
    fn the_house_is_one_key() {
        let (held, available) = (Account::ClientHeld(client(1)), Account::ClientAvailable(client(1)));
        let keys =
            |moves: &[(Account, Account, i64)]| HouseAccount.keys(&moving(1, payment(1), moves).envelope);
        assert_eq!(keys(&[(held, Account::HouseFees, 1)]), ["house"]);
        assert!(keys(&[(held, available, 1)]).is_empty());
    }
}
