//! The books: accounts, postings, and journal entries that balance by construction (I3).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::{ClientId, MalformedId, MerchantId};
use crate::money::{Currency, Money};
use crate::text;

/// Who owns money that the house holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Owner {
    /// A client.
    Client(ClientId),
    /// A merchant.
    Merchant(MerchantId),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(id) => id.fmt(f),
            Self::Merchant(id) => id.fmt(f),
        }
    }
}

impl Serialize for Owner {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Owner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer)
    }
}

impl FromStr for Owner {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self::Client).or_else(|_| text.parse().map(Self::Merchant))
    }
}

/// An account of the chart of accounts; with a currency it holds one balance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Account {
    /// What a client can spend.
    ClientAvailable(ClientId),
    /// What authorizations hold of a client's money.
    ClientHeld(ClientId),
    /// A merchant's captures that are not settled yet.
    MerchantPending(MerchantId),
    /// What a merchant can be paid out.
    MerchantAvailable(MerchantId),
    /// What open disputes hold of a merchant's money.
    MerchantReserved(MerchantId),
    /// Payouts on their way to the bank.
    MerchantInTransit(MerchantId),
    /// Fees earned: income.
    HouseFees,
    /// Money at the bank: an asset.
    HouseBank,
    /// The position between currencies.
    HouseFx,
    /// Debts written off: an expense.
    HouseLosses,
}

/// The side on which an account's balance is positive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Assets and expenses.
    Debit,
    /// Liabilities and income.
    Credit,
}

impl Account {
    /// Returns the client or merchant whose money the account holds; `None` for the house's own.
    pub const fn owner(self) -> Option<Owner> {
        match self {
            Self::ClientAvailable(id) | Self::ClientHeld(id) => Some(Owner::Client(id)),
            Self::MerchantPending(id)
            | Self::MerchantAvailable(id)
            | Self::MerchantReserved(id)
            | Self::MerchantInTransit(id) => Some(Owner::Merchant(id)),
            Self::HouseFees | Self::HouseBank | Self::HouseFx | Self::HouseLosses => None,
        }
    }

    /// Returns the side that raises the account's balance.
    pub const fn normal_side(self) -> Side {
        match self {
            Self::HouseBank | Self::HouseLosses => Side::Debit,
            Self::HouseFees
            | Self::HouseFx
            | Self::ClientAvailable(_)
            | Self::ClientHeld(_)
            | Self::MerchantPending(_)
            | Self::MerchantAvailable(_)
            | Self::MerchantReserved(_)
            | Self::MerchantInTransit(_) => Side::Credit,
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientAvailable(id) => write!(f, "client:{id}:available"),
            Self::ClientHeld(id) => write!(f, "client:{id}:held"),
            Self::MerchantPending(id) => write!(f, "merchant:{id}:pending"),
            Self::MerchantAvailable(id) => write!(f, "merchant:{id}:available"),
            Self::MerchantReserved(id) => write!(f, "merchant:{id}:reserved"),
            Self::MerchantInTransit(id) => write!(f, "merchant:{id}:in_transit"),
            Self::HouseFees => f.write_str("house:fees"),
            Self::HouseBank => f.write_str("house:bank"),
            Self::HouseFx => f.write_str("house:fx"),
            Self::HouseLosses => f.write_str("house:losses"),
        }
    }
}

impl Serialize for Account {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer)
    }
}

impl FromStr for Account {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(':');
        let account = match (parts.next(), parts.next(), parts.next()) {
            (Some("client"), Some(id), Some("available")) => Self::ClientAvailable(id.parse()?),
            (Some("client"), Some(id), Some("held")) => Self::ClientHeld(id.parse()?),
            (Some("merchant"), Some(id), Some("pending")) => Self::MerchantPending(id.parse()?),
            (Some("merchant"), Some(id), Some("available")) => Self::MerchantAvailable(id.parse()?),
            (Some("merchant"), Some(id), Some("reserved")) => Self::MerchantReserved(id.parse()?),
            (Some("merchant"), Some(id), Some("in_transit")) => Self::MerchantInTransit(id.parse()?),
            (Some("house"), Some("fees"), None) => Self::HouseFees,
            (Some("house"), Some("bank"), None) => Self::HouseBank,
            (Some("house"), Some("fx"), None) => Self::HouseFx,
            (Some("house"), Some("losses"), None) => Self::HouseLosses,
            _ => return Err(MalformedId),
        };
        parts.next().is_none().then_some(account).ok_or(MalformedId)
    }
}

/// One side of a posting, with its amount (always above zero).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Leg {
    /// The amount is debited to the account.
    Debit(Money),
    /// The amount is credited to the account.
    Credit(Money),
}

/// One line of a journal entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "StoredPosting")]
pub struct Posting {
    /// The account.
    pub account: Account,
    /// Debit or credit, and how much.
    #[serde(flatten)]
    pub leg: Leg,
}

/// A posting as it is read: flattened, its leg would be kept aside in a tree first.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPosting {
    account: Account,
    debit: Option<Money>,
    credit: Option<Money>,
}

/// The posting has two legs, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a posting is either a debit or a credit")]
pub struct NoPosting;

impl TryFrom<StoredPosting> for Posting {
    type Error = NoPosting;

    fn try_from(StoredPosting { account, debit, credit }: StoredPosting) -> Result<Self, NoPosting> {
        let leg = match (debit, credit) {
            (Some(money), None) => Leg::Debit(money),
            (None, Some(money)) => Leg::Credit(money),
            _ => return Err(NoPosting),
        };
        Ok(Self { account, leg })
    }
}

impl Posting {
    /// Returns the amount, above zero.
    pub const fn money(&self) -> Money {
        match self.leg {
            Leg::Debit(money) | Leg::Credit(money) => money,
        }
    }

    /// Returns by how much the posting raises (or lowers) its account's balance, in minor units.
    pub const fn effect(&self) -> i64 {
        match (self.leg, self.account.normal_side()) {
            (Leg::Debit(money), Side::Debit) | (Leg::Credit(money), Side::Credit) => money.amount,
            (Leg::Debit(money), Side::Credit) | (Leg::Credit(money), Side::Debit) => -money.amount,
        }
    }
}

/// Money on its way from one account to another: the only thing an entry is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move {
    /// The account that is debited.
    pub debit: Account,
    /// The account that is credited.
    pub credit: Account,
    /// How much; nothing moves when it is not above zero.
    pub money: Money,
}

impl Move {
    /// Debits one account and credits another with the same amount.
    pub const fn new(debit: Account, credit: Account, money: Money) -> Self {
        Self { debit, credit, money }
    }
}

/// The postings of one event: none, or balanced in each currency. No other can be built (I3).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(try_from = "Vec<Posting>")]
pub struct JournalEntry(Vec<Posting>);

impl Serialize for JournalEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// The postings sum to something other than zero in a currency, or one of them is not above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("postings do not balance in {0}")]
pub struct Unbalanced(pub Currency);

impl JournalEntry {
    /// Builds an entry of moves, each of which balances by itself; legs on the same side of an account
    /// are joined, and moves of nothing left out.
    pub fn of(moves: impl IntoIterator<Item = Move>) -> Self {
        let (mut debits, mut credits) = (Vec::new(), Vec::new());
        for Move { debit, credit, money } in moves.into_iter().filter(|m| m.money.amount > 0) {
            join(&mut debits, debit, money);
            join(&mut credits, credit, money);
        }
        let debits = debits.into_iter().map(|(account, money)| Posting { account, leg: Leg::Debit(money) });
        let credits =
            credits.into_iter().map(|(account, money)| Posting { account, leg: Leg::Credit(money) });
        Self(debits.chain(credits).collect())
    }

    /// Returns the entry of an event that moves no money.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Returns the entry that undoes this one: what was debited is credited, what was credited debited.
    #[must_use]
    pub fn mirrored(&self) -> Self {
        let mirror = |posting: &Posting| match posting.leg {
            Leg::Debit(money) => Posting { leg: Leg::Credit(money), ..*posting },
            Leg::Credit(money) => Posting { leg: Leg::Debit(money), ..*posting },
        };
        let (credits, debits): (Vec<_>, Vec<_>) =
            self.0.iter().map(mirror).partition(|posting| matches!(posting.leg, Leg::Credit(_)));
        Self(debits.into_iter().chain(credits).collect())
    }

    /// Returns the postings, debits first.
    pub fn postings(&self) -> &[Posting] {
        &self.0
    }
}

/// Adds to the leg of the same account and currency, or begins one: also where the sum would not fit,
/// since a leg cut short would not balance.
fn join(legs: &mut Vec<(Account, Money)>, account: Account, money: Money) {
    let fits = |leg: &Money| leg.amount.checked_add(money.amount).is_some();
    match legs
        .iter_mut()
        .find(|(known, leg)| *known == account && leg.currency == money.currency && fits(leg))
    {
        Some((_, leg)) => leg.amount += money.amount,
        None => legs.push((account, money)),
    }
}

impl TryFrom<Vec<Posting>> for JournalEntry {
    type Error = Unbalanced;

    fn try_from(postings: Vec<Posting>) -> Result<Self, Self::Error> {
        let mut sums: Vec<(Currency, i128)> = Vec::new();
        for posting in &postings {
            let Money { amount, currency } = posting.money();
            if amount <= 0 {
                return Err(Unbalanced(currency));
            }
            let signed = match posting.leg {
                Leg::Debit(_) => -i128::from(amount),
                Leg::Credit(_) => i128::from(amount),
            };
            match sums.iter_mut().find(|(known, _)| *known == currency) {
                Some((_, sum)) => *sum += signed,
                None => sums.push((currency, signed)),
            }
        }
        match sums.into_iter().find(|(_, sum)| *sum != 0) {
            Some((currency, _)) => Err(Unbalanced(currency)),
            None => Ok(Self(postings)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn eur(amount: i64) -> Money {
        Money::new(amount, "EUR".parse().unwrap())
    }

    #[test]
    fn an_account_and_an_owner_survive_their_texts() {
        let (client, merchant) = (ClientId::new(Uuid::nil()), MerchantId::new(Uuid::nil()));
        for account in [
            Account::ClientAvailable(client),
            Account::ClientHeld(client),
            Account::MerchantPending(merchant),
            Account::MerchantAvailable(merchant),
            Account::MerchantReserved(merchant),
            Account::MerchantInTransit(merchant),
            Account::HouseFees,
            Account::HouseBank,
            Account::HouseFx,
            Account::HouseLosses,
        ] {
            assert_eq!(account.to_string().parse(), Ok(account));
            assert_eq!(format!("{account}:EUR").parse::<Account>(), Err(MalformedId));
        }
        for owner in [Owner::Client(client), Owner::Merchant(merchant)] {
            assert_eq!(owner.to_string().parse(), Ok(owner));
        }
    }

    #[test]
    fn joins_legs_and_leaves_nothing_out() {
        let (client, merchant) = (ClientId::new(Uuid::nil()), MerchantId::new(Uuid::nil()));
        let held = Account::ClientHeld(client);
        let entry = JournalEntry::of([
            Move::new(held, Account::MerchantPending(merchant), eur(98)),
            Move::new(held, Account::HouseFees, eur(2)),
            Move::new(held, Account::ClientAvailable(client), eur(0)),
        ]);
        let legs: Vec<_> = entry.postings().iter().map(|p| (p.account, p.leg)).collect();
        assert_eq!(
            legs,
            [
                (held, Leg::Debit(eur(100))),
                (Account::MerchantPending(merchant), Leg::Credit(eur(98))),
                (Account::HouseFees, Leg::Credit(eur(2))),
            ]
        );
        assert_eq!(JournalEntry::try_from(entry.postings().to_vec()), Ok(entry));
    }

    #[test]
    fn refuses_what_does_not_balance() {
        let line = |account, leg| Posting { account, leg };
        let usd = Money::new(5, "USD".parse().unwrap());
        for postings in [
            vec![line(Account::HouseBank, Leg::Debit(eur(5)))],
            vec![line(Account::HouseBank, Leg::Debit(eur(5))), line(Account::HouseFx, Leg::Credit(usd))],
            vec![line(Account::HouseBank, Leg::Debit(eur(0))), line(Account::HouseFx, Leg::Credit(eur(0)))],
            vec![line(Account::HouseBank, Leg::Debit(eur(-5))), line(Account::HouseFx, Leg::Credit(eur(-5)))],
        ] {
            assert!(JournalEntry::try_from(postings).is_err());
        }
    }

    proptest! {
        #[test]
        fn moves_of_any_amounts_make_a_balanced_entry(moves in prop::collection::vec((0..3_usize, 0..3_usize, any::<i64>()), 0..6)) {
            let accounts = [Account::HouseBank, Account::HouseFees, Account::HouseLosses];
            let of = |(debit, credit, amount): (usize, usize, i64)| Move::new(accounts[debit], accounts[credit], eur(amount));
            let entry = JournalEntry::of(moves.into_iter().map(of));
            prop_assert_eq!(JournalEntry::try_from(entry.postings().to_vec()), Ok(entry.clone()));
            let mirror = entry.mirrored();
            prop_assert_eq!(JournalEntry::try_from(mirror.postings().to_vec()), Ok(mirror.clone()));
            let sum = |account| {
                let both = entry.postings().iter().chain(mirror.postings());
                both.filter(|posting| posting.account == account).map(|posting| i128::from(posting.effect())).sum::<i128>()
            };
            prop_assert_eq!(accounts.map(sum), [0; 3]);
            prop_assert_eq!(mirror.mirrored(), entry);
        }
    }

    #[test]
    fn account_names_survive_their_text() {
        let merchant = MerchantId::new(Uuid::from_u128(7));
        for account in [
            Account::MerchantInTransit(merchant),
            Account::ClientHeld(ClientId::new(Uuid::from_u128(9))),
            Account::HouseLosses,
        ] {
            assert_eq!(account.to_string().parse(), Ok(account));
        }
        assert!("house:bank:x".parse::<Account>().is_err());
        assert!("client:available".parse::<Account>().is_err());
    }

    #[test]
    fn a_posting_reads_as_the_contract_writes_it() {
        let json = r#"{"account":"house:bank","debit":{"amount":5,"currency":"EUR"}}"#;
        let posting: Posting = serde_json::from_str(json).unwrap();
        assert_eq!(posting.effect(), 5);
        assert_eq!(serde_json::to_string(&posting).unwrap(), json);
    }
}
