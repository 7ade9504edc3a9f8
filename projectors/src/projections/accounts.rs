//! The accounts of clients and merchants: postings folded into balances, with one entry for each.

use std::collections::BTreeMap;

use ledger_core::ids::{MalformedId, StreamId};
use ledger_core::money::UnsupportedCurrency;
use ledger_core::{Account, Currency, Owner};
use sqlx::PgConnection;
use sqlx::types::chrono::{DateTime, Utc};

use crate::projection::{ApplyError, Decoded};

/// The balances that a batch touches, of owners who have `N` accounts in each currency.
pub(super) struct Accounts<'a, const N: usize> {
    names: [&'static str; N],
    /// Tells whose account it is, and which; `None` for the accounts of others.
    place: fn(Account) -> Option<(Owner, usize)>,
    events: &'a [&'a Decoded],
    balances: BTreeMap<(Owner, Currency), Balance<N>>,
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
    owner: Owner,
    position: i64,
    /// The posting's place in its event, from 0.
    ordinal: i16,
    account: &'static str,
    currency: Currency,
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
        place: fn(Account) -> Option<(Owner, usize)>,
    ) -> Self {
        let empty = Balance { amounts: [0; N], position: 0 };
        let postings = events.iter().flat_map(|event| event.envelope.draft.postings.postings());
        let balances = postings.filter_map(|posting| {
            let (owner, _) = place(posting.account)?;
            Some(((owner, posting.money().currency), empty))
        });
        Self { names, place, events, balances: balances.collect() }
    }

    /// Tells whether the batch moves no money here.
    pub(super) fn is_empty(&self) -> bool {
        self.balances.is_empty()
    }

    /// Returns whose balances these are.
    pub(super) fn owners(&self) -> Vec<String> {
        self.balances.keys().map(|(owner, _)| owner.to_string()).collect()
    }

    /// Returns their currencies.
    pub(super) fn currencies(&self) -> Vec<String> {
        self.balances.keys().map(|(_, currency)| currency.to_string()).collect()
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
    ///
    /// # Errors
    ///
    /// The row names nobody, or no currency.
    pub(super) fn begin_with(
        &mut self,
        owner: &str,
        currency: &str,
        amounts: [i64; N],
    ) -> Result<(), sqlx::Error> {
        let owner = owner.parse().map_err(|error: MalformedId| sqlx::Error::Decode(error.into()))?;
        let currency =
            currency.parse().map_err(|error: UnsupportedCurrency| sqlx::Error::Decode(error.into()))?;
        if let Some(balance) = self.balances.get_mut(&(owner, currency)) {
            balance.amounts = amounts;
        }
        Ok(())
    }

    /// Folds the postings in, in order, and returns their entries.
    pub(super) fn fold(&mut self) -> Result<Vec<Entry>, ApplyError> {
        let mut entries = Vec::new();
        for event in self.events {
            for (ordinal, posting) in (0_i16..).zip(event.envelope.draft.postings.postings()) {
                let Some((owner, index)) = (self.place)(posting.account) else { continue };
                let currency = posting.money().currency;
                let Some(balance) = self.balances.get_mut(&(owner, currency)) else { continue };
                let Some(balance_after) = balance.amounts[index].checked_add(posting.effect()) else {
                    let (owner, currency) = (owner.to_string(), currency.to_string());
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
        entries.sort_by_key(|entry| entry.owner);
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
        .bind(entries.iter().map(|entry| entry.owner.to_string()).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.position).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.ordinal).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.account).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.currency.to_string()).collect::<Vec<_>>())
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

    fn place(account: Account) -> Option<(Owner, usize)> {
        match account {
            Account::ClientAvailable(id) => Some((Owner::Client(id), 0)),
            Account::ClientHeld(id) => Some((Owner::Client(id), 1)),
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
        accounts.begin_with(&client(1).to_string(), "EUR", [7, 0]).unwrap();
        accounts.begin_with(&client(2).to_string(), "EUR", [9, 9]).unwrap();
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
        accounts.begin_with(&client(1).to_string(), "EUR", [i64::MAX, 0]).unwrap();
        assert!(
            matches!(accounts.fold(), Err(ApplyError::OutOfRange { owner, .. }) if owner == client(1).to_string())
        );
    }
}
