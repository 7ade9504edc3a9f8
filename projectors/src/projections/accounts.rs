//! The accounts of clients and merchants: postings folded into balances, with one entry for each.

use std::collections::BTreeMap;

use ledger_core::Account;
use ledger_core::ids::StreamId;
use sqlx::PgConnection;
use sqlx::types::chrono::{DateTime, Utc};

use crate::projection::{ApplyError, Decoded};

/// The balances that a batch touches, of owners who have `N` accounts in each currency.
pub(super) struct Accounts<'a, const N: usize> {
    names: [&'static str; N],
    /// Tells whose account it is, and which; `None` for the accounts of others.
    place: fn(Account) -> Option<(String, usize)>,
    events: &'a [&'a Decoded],
    balances: BTreeMap<(String, String), Balance<N>>,
}

/// What an owner has in a currency.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Balance<const N: usize> {
    /// In each account, in minor units.
    pub(super) amounts: [i64; N],
    /// The last event that has changed it.
    pub(super) position: i64,
}

/// One posting to an account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    owner: String,
    position: i64,
    /// The posting's place in its event, from 0.
    ordinal: i16,
    account: &'static str,
    currency: String,
    amount: i64,
    balance_after: i64,
    type_name: &'static str,
    payment_id: Option<String>,
    recorded_at: DateTime<Utc>,
}

impl<'a, const N: usize> Accounts<'a, N> {
    /// Finds what a batch touches; nothing is there yet.
    pub(super) fn touched_by(
        events: &'a [&'a Decoded],
        names: [&'static str; N],
        place: fn(Account) -> Option<(String, usize)>,
    ) -> Self {
        let empty = Balance { amounts: [0; N], position: 0 };
        let postings = events.iter().flat_map(|event| event.envelope.draft.postings.postings());
        let balances = postings.filter_map(|posting| {
            let (owner, _) = place(posting.account)?;
            Some(((owner, posting.money().currency.to_string()), empty))
        });
        Self { names, place, events, balances: balances.collect() }
    }

    /// Tells whether the batch moves no money here.
    pub(super) fn is_empty(&self) -> bool {
        self.balances.is_empty()
    }

    /// Returns whose balances these are.
    pub(super) fn owners(&self) -> Vec<&str> {
        self.balances.keys().map(|(owner, _)| owner.as_str()).collect()
    }

    /// Returns their currencies.
    pub(super) fn currencies(&self) -> Vec<&str> {
        self.balances.keys().map(|(_, currency)| currency.as_str()).collect()
    }

    /// Returns what is in one of the accounts.
    pub(super) fn amounts(&self, index: usize) -> Vec<i64> {
        self.balances.values().filter_map(|balance| balance.amounts.get(index).copied()).collect()
    }

    /// Returns the positions of their last events.
    pub(super) fn positions(&self) -> Vec<i64> {
        self.balances.values().map(|balance| balance.position).collect()
    }

    /// Takes in what was there before the batch.
    pub(super) fn begin_with(&mut self, owner: String, currency: String, amounts: [i64; N]) {
        if let Some(balance) = self.balances.get_mut(&(owner, currency)) {
            balance.amounts = amounts;
        }
    }

    /// Folds the postings in, in order, and returns their entries.
    pub(super) fn fold(&mut self) -> Result<Vec<Entry>, ApplyError> {
        let mut entries = Vec::new();
        for event in self.events {
            for (ordinal, posting) in (0_i16..).zip(event.envelope.draft.postings.postings()) {
                let Some((owner, index)) = (self.place)(posting.account) else { continue };
                let currency = posting.money().currency.to_string();
                let key = (owner, currency);
                let Some(balance) = self.balances.get_mut(&key) else { continue };
                let (owner, currency) = key;
                let Some(balance_after) = balance.amounts[index].checked_add(posting.effect()) else {
                    return Err(ApplyError::OutOfRange { owner, currency });
                };
                balance.amounts[index] = balance_after;
                balance.position = event.position();
                entries.push(Entry {
                    owner,
                    position: event.position(),
                    ordinal,
                    account: self.names[index],
                    currency,
                    amount: posting.effect(),
                    balance_after,
                    type_name: event.envelope.event().type_name(),
                    payment_id: payment_id(event),
                    recorded_at: event.recorded_at(),
                });
            }
        }
        // An owner's entries are next to each other in the indexes.
        entries.sort_by(|one, other| one.owner.cmp(&other.owner));
        Ok(entries)
    }
}

/// Returns the payment that an event is of.
pub(super) fn payment_id(event: &Decoded) -> Option<String> {
    match event.envelope.stream_id() {
        StreamId::Payment(id) => Some(id.to_string()),
        StreamId::Client(_)
        | StreamId::Merchant(_)
        | StreamId::Card(_)
        | StreamId::Key(_)
        | StreamId::Settlement(_)
        | StreamId::Payout(_)
        | StreamId::Correction(_)
        | StreamId::Reconciliation(_)
        | StreamId::FxPair(..) => None,
    }
}

/// Inserts entries by a statement that takes the columns as arrays, in the order of [`Entry`].
pub(super) async fn insert_entries(
    tables: &mut PgConnection,
    statement: &'static str,
    entries: &[Entry],
) -> Result<(), sqlx::Error> {
    sqlx::query(statement)
        .bind(entries.iter().map(|entry| entry.owner.as_str()).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.position).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.ordinal).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.account).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.currency.as_str()).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.amount).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.balance_after).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.type_name).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.payment_id.as_deref()).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.recorded_at).collect::<Vec<_>>())
        .execute(tables)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ledger_core::money::BALANCE_MAX;

    use super::*;
    use crate::testing::{client, moving, payment};

    fn place(account: Account) -> Option<(String, usize)> {
        match account {
            Account::ClientAvailable(id) => Some((id.to_string(), 0)),
            Account::ClientHeld(id) => Some((id.to_string(), 1)),
            _ => None,
        }
    }

    #[test]
    fn each_posting_is_an_entry_with_the_balance_after_it() {
        let (available, held) = (Account::ClientAvailable(client(1)), Account::ClientHeld(client(1)));
        let events = [
            moving(5, StreamId::Client(client(1)), &[(Account::HouseBank, available, 100)]),
            moving(6, payment(1), &[(available, held, 30)]),
            moving(7, payment(1), &[(held, Account::HouseFees, 10), (held, available, 20)]),
        ];
        let events: Vec<&Decoded> = events.iter().collect();
        let mut accounts = Accounts::touched_by(&events, ["available", "held"], place);
        accounts.begin_with(client(1).to_string(), "EUR".to_owned(), [7, 0]);
        accounts.begin_with(client(2).to_string(), "EUR".to_owned(), [9, 9]);
        let entries = accounts.fold().unwrap();
        let seen: Vec<_> = entries
            .iter()
            .map(|entry| (entry.position, entry.ordinal, entry.account, entry.amount, entry.balance_after))
            .collect();
        assert_eq!(
            seen,
            [
                (5, 1, "available", 100, 107),
                (6, 0, "available", -30, 77),
                (6, 1, "held", 30, 30),
                (7, 0, "held", -30, 0),
                (7, 2, "available", 20, 97),
            ]
        );
        assert_eq!(entries[0].payment_id, None);
        assert_eq!(entries[1].payment_id, Some(payment(1).to_string()));
        assert_eq!(
            (accounts.amounts(0), accounts.amounts(1), accounts.positions()),
            (vec![97], vec![0], vec![7])
        );
    }

    #[test]
    fn a_balance_out_of_range_is_named() {
        let stream = StreamId::Client(client(1));
        let deposit = [(Account::HouseBank, Account::ClientAvailable(client(1)), BALANCE_MAX)];
        let event = moving(1, stream, &deposit);
        let events = [&event];
        let mut accounts = Accounts::touched_by(&events, ["available", "held"], place);
        accounts.begin_with(client(1).to_string(), "EUR".to_owned(), [i64::MAX, 0]);
        assert!(
            matches!(accounts.fold(), Err(ApplyError::OutOfRange { owner, .. }) if owner == client(1).to_string())
        );
    }
}
