//! The members of a JSON object, read strictly: what is not there or has another shape is a finding, and
//! no value is ever repeated in it.

use std::str::FromStr;

use chrono::NaiveDate;
use ledger_core::Currency;
use ledger_core::personal::Sealed;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::account::Side;
use super::account::{Account, Posting};
use super::moment::Moment;
use super::money::Money;

/// An object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(pub(super) &'a Map<String, Value>);

/// A member that is missing or has another shape.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Malformed {
    /// The member.
    pub(super) field: &'static str,
    /// What it should be.
    pub(super) wanted: &'static str,
}

impl Malformed {
    pub(super) const fn new(field: &'static str, wanted: &'static str) -> Self {
        Self { field, wanted }
    }
}

impl<'a> Fields<'a> {
    /// Takes a value as an object.
    pub(super) fn of(value: &'a Value, field: &'static str) -> Result<Self, Malformed> {
        value.as_object().map(Self).ok_or(Malformed::new(field, "an object"))
    }

    /// Checks that the object has exactly these members.
    pub(super) fn exactly(self, field: &'static str, names: &[&[&str]]) -> Result<Self, Malformed> {
        let count: usize = names.iter().map(|group| group.len()).sum();
        let all = names.iter().copied().flatten().all(|name| self.0.contains_key(*name));
        (all && self.0.len() == count).then_some(self).ok_or(Malformed::new(field, "exactly its members"))
    }

    fn get(self, name: &str) -> &'a Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }

    /// Reads a member that may be null.
    fn maybe<T>(
        self,
        name: &str,
        read: impl FnOnce(Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        if self.get(name).is_null() { Ok(None) } else { read(self).map(Some) }
    }

    pub(super) fn text(self, name: &'static str) -> Result<&'a str, Malformed> {
        self.get(name).as_str().ok_or(Malformed::new(name, "a string"))
    }

    pub(super) fn has(self, name: &str) -> bool {
        !self.get(name).is_null()
    }

    pub(super) fn maybe_text(self, name: &'static str) -> Result<Option<&'a str>, Malformed> {
        self.maybe(name, |fields| fields.text(name))
    }

    /// Reads a whole number from 0.
    pub(super) fn number(self, name: &'static str) -> Result<u64, Malformed> {
        self.get(name).as_u64().ok_or(Malformed::new(name, "a whole number"))
    }

    pub(super) fn flag(self, name: &'static str) -> Result<bool, Malformed> {
        self.get(name).as_bool().ok_or(Malformed::new(name, "true or false"))
    }

    /// Reads an id, a currency or whatever else has one spelling.
    pub(super) fn id<T: FromStr>(self, name: &'static str) -> Result<T, Malformed> {
        self.text(name)?.parse().map_err(|_| Malformed::new(name, "an id of its kind"))
    }

    pub(super) fn maybe_id<T: FromStr>(self, name: &'static str) -> Result<Option<T>, Malformed> {
        self.maybe(name, |fields| fields.id(name))
    }

    pub(super) fn moment(self, name: &'static str) -> Result<Moment, Malformed> {
        Moment::parse(self.text(name)?).ok_or(Malformed::new(name, "a moment with six digits and Z"))
    }

    /// Reads a UTC day in its one spelling.
    pub(super) fn day(self, name: &'static str) -> Result<NaiveDate, Malformed> {
        let text = self.text(name)?;
        let day = text.parse().ok().filter(|day: &NaiveDate| day.to_string() == text);
        day.ok_or(Malformed::new(name, "a day"))
    }

    /// Reads a currency; a stored one may be gone, which a request's may not.
    pub(super) fn currency(self, name: &'static str) -> Result<Currency, Malformed> {
        self.text(name)?.to_owned().try_into().map_err(|_| Malformed::new(name, "a currency"))
    }

    pub(super) fn object(self, name: &'static str) -> Result<Self, Malformed> {
        Self::of(self.get(name), name)
    }

    pub(super) fn list(self, name: &'static str) -> Result<&'a [Value], Malformed> {
        self.get(name).as_array().map(Vec::as_slice).ok_or(Malformed::new(name, "a list"))
    }

    pub(super) fn money(self, name: &'static str) -> Result<Money, Malformed> {
        money(self.get(name)).ok_or(Malformed::new(name, "an amount and a currency"))
    }

    /// Reads money, at most one of each currency.
    pub(super) fn money_list(self, name: &'static str) -> Result<Vec<Money>, Malformed> {
        let list: Option<Vec<Money>> = self.list(name)?.iter().map(money).collect();
        let list = list.ok_or(Malformed::new(name, "a list of amounts"))?;
        let twice = |at: usize| list[..at].iter().any(|other| other.currency == list[at].currency);
        if (0..list.len()).any(twice) {
            return Err(Malformed::new(name, "at most one amount per currency"));
        }
        Ok(list)
    }

    /// Reads a personal field: a box, or null.
    pub(super) fn sealed(self, name: &'static str) -> Result<Option<Sealed>, Malformed> {
        self.maybe(name, |fields| {
            fields.object(name)?.exactly(name, &[&["subject", "box"]])?;
            Sealed::deserialize(fields.get(name)).map_err(|_| Malformed::new(name, "a subject and a box"))
        })
    }

    /// Reads postings, each with an amount above zero.
    pub(super) fn postings(self, name: &'static str) -> Result<Vec<Posting>, Malformed> {
        self.list(name)?.iter().map(posting).collect()
    }
}

fn money(value: &Value) -> Option<Money> {
    let members = value.as_object().filter(|members| members.len() == 2)?;
    let minor = members.get("amount")?.as_i64()?;
    Some(Money::new(minor.into(), Fields(members).currency("currency").ok()?))
}

fn posting(value: &Value) -> Result<Posting, Malformed> {
    let malformed = Malformed::new("postings", "accounts with one debit or credit above zero each");
    let fields = Fields::of(value, "postings")?;
    let side = if fields.0.contains_key("debit") { Side::Debit } else { Side::Credit };
    let name = match side {
        Side::Debit => "debit",
        Side::Credit => "credit",
    };
    let account = Account::parse(fields.text("account")?).ok_or(malformed)?;
    let money = fields.money(name)?;
    if fields.0.len() != 2 || money.minor <= 0 {
        return Err(malformed);
    }
    Ok(Posting { account, side, money })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_exactly_those() {
        let object = json!({ "a": 1, "b": null });
        let fields = Fields::of(&object, "x").unwrap();
        assert!(fields.exactly("x", &[&["a"], &["b"]]).is_ok());
        assert!(fields.exactly("x", &[&["a"]]).is_err());
        assert!(fields.exactly("x", &[&["a", "c"]]).is_err());
        assert_eq!(fields.maybe_text("b"), Ok(None));
        assert_eq!(fields.text("a"), Err(Malformed::new("a", "a string")));
    }

    #[test]
    fn postings_have_one_leg_above_zero() {
        let account = "house:bank";
        let money = json!({ "amount": 5, "currency": "EUR" });
        assert!(posting(&json!({ "account": account, "debit": money })).is_ok());
        for other in [
            json!({ "account": account, "debit": money, "credit": money }),
            json!({ "account": account }),
            json!({ "account": account, "debit": { "amount": 0, "currency": "EUR" } }),
            json!({ "account": account, "debit": { "amount": 5, "currency": "XXX" } }),
            json!({ "account": account, "debit": { "amount": 1.5, "currency": "EUR" } }),
            json!({ "account": "house:vault", "debit": money }),
        ] {
            assert!(posting(&other).is_err(), "{other}");
        }
    }
}
