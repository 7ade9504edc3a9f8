//! The chart of accounts, and the postings of one event.

use std::collections::BTreeMap;
use std::fmt;

use ledger_core::Currency;
use ledger_core::ids::{ClientId, MerchantId};

use super::money::Money;

/// Whose money the house holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Holder {
    Client(ClientId),
    Merchant(MerchantId),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(id) => id.fmt(f),
            Self::Merchant(id) => id.fmt(f),
        }
    }
}

/// What a holder's money is there for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Purpose {
    Available,
    Held,
    Pending,
    Reserved,
    InTransit,
}

impl Purpose {
    /// The name in the account and in the read models.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Held => "held",
            Self::Pending => "pending",
            Self::Reserved => "reserved",
            Self::InTransit => "in_transit",
        }
    }
}

/// An account of the house itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum House {
    Fees,
    Bank,
    Fx,
    Losses,
}

impl House {
    /// The name in the account and in the read model.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Fees => "fees",
            Self::Bank => "bank",
            Self::Fx => "fx",
            Self::Losses => "losses",
        }
    }
}

/// An account; with a currency it has one balance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Account {
    Of(Holder, Purpose),
    House(House),
}

impl Account {
    pub(super) const fn client(id: ClientId, purpose: Purpose) -> Self {
        Self::Of(Holder::Client(id), purpose)
    }

    pub(super) const fn merchant(id: MerchantId, purpose: Purpose) -> Self {
        Self::Of(Holder::Merchant(id), purpose)
    }

    /// Reads an account's name; `None` if the chart has no such account.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split(':');
        let account = match (parts.next()?, parts.next()?, parts.next()) {
            ("client", id, Some("available")) => Self::client(id.parse().ok()?, Purpose::Available),
            ("client", id, Some("held")) => Self::client(id.parse().ok()?, Purpose::Held),
            ("merchant", id, Some("pending")) => Self::merchant(id.parse().ok()?, Purpose::Pending),
            ("merchant", id, Some("available")) => Self::merchant(id.parse().ok()?, Purpose::Available),
            ("merchant", id, Some("reserved")) => Self::merchant(id.parse().ok()?, Purpose::Reserved),
            ("merchant", id, Some("in_transit")) => Self::merchant(id.parse().ok()?, Purpose::InTransit),
            ("house", "fees", None) => Self::House(House::Fees),
            ("house", "bank", None) => Self::House(House::Bank),
            ("house", "fx", None) => Self::House(House::Fx),
            ("house", "losses", None) => Self::House(House::Losses),
            _ => return None,
        };
        parts.next().is_none().then_some(account)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(Holder::Client(id), purpose) => write!(f, "client:{id}:{}", purpose.name()),
            Self::Of(Holder::Merchant(id), purpose) => write!(f, "merchant:{id}:{}", purpose.name()),
            Self::House(house) => write!(f, "house:{}", house.name()),
        }
    }
}

/// The side of an account that a posting goes to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Side {
    Debit,
    Credit,
}

/// One line of an event's postings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Posting {
    pub(super) account: Account,
    pub(super) side: Side,
    pub(super) money: Money,
}

impl Posting {
    /// Returns by how much the posting raises a holder's account: these are the house's liabilities.
    pub(super) const fn raises(&self) -> i128 {
        match self.side {
            Side::Debit => -self.money.minor,
            Side::Credit => self.money.minor,
        }
    }
}

/// Postings summed up per account, side and currency: what an entry says, however its lines are cut.
pub(super) type Sums = BTreeMap<(Side, Account, Currency), i128>;

/// Sums postings up.
pub(super) fn sums(postings: &[Posting]) -> Sums {
    let mut sums = Sums::new();
    for Posting { account, side, money } in postings {
        *sums.entry((*side, *account, money.currency)).or_default() += money.minor;
    }
    sums
}

/// Tells the first currency in which debits and credits differ.
pub(super) fn unbalanced(postings: &[Posting]) -> Option<(Currency, i128)> {
    let mut differences: BTreeMap<Currency, i128> = BTreeMap::new();
    for posting in postings {
        *differences.entry(posting.money.currency).or_default() += posting.raises();
    }
    differences.into_iter().find(|(_, difference)| *difference != 0)
}

/// Money on its way from a debited to a credited account: what the contract's table is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub(super) debit: Account,
    pub(super) credit: Account,
    pub(super) money: Money,
}

/// Sums up what moves should have posted; moves of nothing post nothing.
pub(super) fn sums_of_moves(moves: &[Move]) -> Sums {
    let moving = moves.iter().filter(|step| step.money.minor != 0);
    let postings: Vec<_> = moving
        .flat_map(|&Move { debit, credit, money }| {
            [
                Posting { account: debit, side: Side::Debit, money },
                Posting { account: credit, side: Side::Credit, money },
            ]
        })
        .collect();
    sums(&postings)
}

/// Returns moves that take postings back: what was debited is credited, what was credited debited.
pub(super) fn undone(postings: &[Posting]) -> Vec<Move> {
    let mut rest: Vec<Posting> = postings.to_vec();
    let mut moves = Vec::new();
    for at in 0..rest.len() {
        // What was credited goes, piece by piece, to what was debited in the same currency.
        let Posting { account: debit, side: Side::Credit, money } = rest[at] else { continue };
        let mut left = money.minor;
        let debits =
            rest.iter_mut().filter(|to| to.side == Side::Debit && to.money.currency == money.currency);
        for to in debits {
            let piece = left.min(to.money.minor);
            (left, to.money.minor) = (left - piece, to.money.minor - piece);
            moves.push(Move { debit, credit: to.account, money: Money::new(piece, money.currency) });
        }
    }
    moves
}

/// Writes sums for people.
pub(super) fn describe(sums: &Sums) -> String {
    if sums.is_empty() {
        return "nothing".to_owned();
    }
    let line = |((side, account, currency), minor): (&(Side, Account, Currency), &i128)| {
        let side = match side {
            Side::Debit => "debit",
            Side::Credit => "credit",
        };
        format!("{side} {account} {minor} {currency}")
    };
    sums.iter().map(line).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_has_these_accounts_only() {
        let id = "019700000000700080000000000000ff";
        for name in
            [format!("client:cli_{id}:held"), format!("merchant:mer_{id}:in_transit"), "house:fx".into()]
        {
            assert_eq!(Account::parse(&name).unwrap().to_string(), name);
        }
        for name in [
            format!("client:mer_{id}:held"),
            format!("client:cli_{id}:pending"),
            format!("client:cli_{id}:held:x"),
            "house:bank:x".into(),
            "house".into(),
            String::new(),
        ] {
            assert_eq!(Account::parse(&name), None, "{name}");
        }
    }

    #[test]
    fn tells_the_currency_that_does_not_balance() {
        let eur: Currency = "EUR".parse().unwrap();
        let line = |house, side, minor| Posting {
            account: Account::House(house),
            side,
            money: Money::new(minor, eur),
        };
        let postings = [line(House::Bank, Side::Debit, 5), line(House::Fees, Side::Credit, 4)];
        assert_eq!(unbalanced(&postings), Some((eur, -1)));
        assert_eq!(unbalanced(&postings[..0]), None);
    }

    #[test]
    fn what_is_undone_is_on_the_other_sides() {
        let line = |house, side, minor, currency: &str| Posting {
            account: Account::House(house),
            side,
            money: Money::new(minor, currency.parse().unwrap()),
        };
        use House::{Bank, Fees, Fx, Losses};
        use Side::{Credit, Debit};
        let postings = [
            line(Bank, Debit, 5, "EUR"),
            line(Losses, Debit, 4, "EUR"),
            line(Fx, Debit, 9, "JPY"),
            line(Fees, Credit, 7, "EUR"),
            line(Fx, Credit, 2, "EUR"),
            line(Bank, Credit, 9, "JPY"),
        ];
        let mirrored: Vec<_> = postings
            .iter()
            .map(|posting| Posting { side: if posting.side == Debit { Credit } else { Debit }, ..*posting })
            .collect();
        assert_eq!(sums_of_moves(&undone(&postings)), sums(&mirrored));
        assert!(undone(&[]).is_empty());
    }
}
