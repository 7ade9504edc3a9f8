//! The fields of a body: all that is wrong is reported at once, and nothing that was sent is repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use ledger_core::card_number::holds_card_number;
use ledger_core::money::AMOUNT_MAX;
use ledger_core::{Currency, Money};
use serde_json::{Value, json};

use crate::json::Json;
use crate::problem::ApiError;

/// All metadata together may have so many bytes of UTF-8.
const METADATA_BYTES_MAX: usize = 16 * 1024;
const METADATA_PAIRS_MAX: usize = 50;
const METADATA_KEY_MAX: usize = 40;
const METADATA_VALUE_MAX: usize = 500;

/// What is wrong with a field or parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldCode {
    /// It is missing.
    Required,
    /// There is no such field.
    Unknown,
    /// It is of another JSON type.
    WrongType,
    /// It is a number outside of its bounds.
    OutOfRange,
    /// It has too many characters or members.
    TooLong,
    /// It has too few characters.
    TooShort,
    /// It is not written as it should be.
    InvalidFormat,
    /// It is no currency that money can be kept in.
    UnsupportedCurrency,
    /// It is another currency than the object's.
    CurrencyMismatch,
    /// It holds a card number.
    SensitiveData,
}

impl FieldCode {
    /// Returns the stable code.
    pub const fn code(self) -> &'static str {
        self.row().0
    }

    /// Returns what to do about it.
    pub const fn detail(self) -> &'static str {
        self.row().1
    }

    const fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::Required => ("required", "This is needed."),
            Self::Unknown => ("unknown", "There is no such field or parameter here; leave it out."),
            Self::WrongType => {
                ("wrong_type", "This has another JSON type; amounts are integers of minor units.")
            }
            Self::OutOfRange => ("out_of_range", "This number is outside of its bounds."),
            Self::TooLong => ("too_long", "This is longer than it may be."),
            Self::TooShort => ("too_short", "This is shorter than it must be."),
            Self::InvalidFormat => {
                ("invalid_format", "This is not written as it should be; see the documentation.")
            }
            Self::UnsupportedCurrency => {
                ("unsupported_currency", "This is no active ISO 4217 currency with minor units.")
            }
            Self::CurrencyMismatch => ("currency_mismatch", "This is not the object's currency."),
            Self::SensitiveData => {
                ("sensitive_data", "This holds a card number; card numbers go into `card.number` only.")
            }
        }
    }
}

/// One wrong field or parameter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldError {
    pointer: String,
    code: FieldCode,
    detail: &'static str,
}

impl FieldError {
    /// Names a field by its JSON pointer.
    pub fn new(pointer: impl Into<String>, code: FieldCode) -> Self {
        Self::explained(pointer, code, code.detail())
    }

    /// Names a place by its pointer, and says in a sentence of its own what to do about it.
    pub fn explained(pointer: impl Into<String>, code: FieldCode, detail: &'static str) -> Self {
        Self { pointer: pointer.into(), code, detail }
    }

    /// Writes it as the contract does.
    pub fn to_json(&self) -> Value {
        json!({ "pointer": self.pointer, "code": self.code.code(), "detail": self.detail })
    }
}

/// Refuses an amount that is in another currency than its object.
pub fn currency_mismatch(pointer: &str) -> ApiError {
    ApiError::field(FieldError::new(pointer, FieldCode::CurrencyMismatch))
}

/// Reads a body's fields: `read` takes what it knows, everything else is unknown.
///
/// # Errors
///
/// 422 with all errors, if there is any.
pub fn read<T>(json: &Json, read: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Result<T, ApiError> {
    let mut errors = Vec::new();
    let found = Fields::of(json, String::new(), &mut errors).and_then(|mut fields| {
        let found = read(&mut fields);
        fields.refuse_unknown();
        found
    });
    match found {
        Some(found) if errors.is_empty() => Ok(found),
        _ => Err(ApiError::InvalidRequest(errors)),
    }
}

/// The members of one object, taken one after another. A getter that returns `None` for a required field
/// has noted why.
pub struct Fields<'a> {
    members: &'a BTreeMap<String, Json>,
    pointer: String,
    taken: BTreeSet<&'static str>,
    errors: &'a mut Vec<FieldError>,
}

impl<'a> Fields<'a> {
    fn of(json: &'a Json, pointer: String, errors: &'a mut Vec<FieldError>) -> Option<Self> {
        match json {
            Json::Object(members) => Some(Self { members, pointer, taken: BTreeSet::new(), errors }),
            _ => {
                errors.push(FieldError::new(pointer, FieldCode::WrongType));
                None
            }
        }
    }

    /// Notes an error of a member.
    pub fn refuse(&mut self, name: &str, code: FieldCode) {
        let pointer = format!("{}/{name}", self.pointer);
        self.errors.push(FieldError::new(pointer, code));
    }

    /// Tells whether a member is there, whatever it is; `null` counts as absent.
    pub fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !matches!(value, Json::Null))
    }

    /// Takes a member; `null` counts as absent.
    fn take(&mut self, name: &'static str) -> Option<&'a Json> {
        self.taken.insert(name);
        self.members.get(name).filter(|value| !matches!(value, Json::Null))
    }

    fn required<T>(&mut self, name: &'static str, found: Option<T>) -> Option<T> {
        if !self.has(name) {
            self.refuse(name, FieldCode::Required);
        }
        found
    }

    /// Takes a string of `min` to `max` characters, without U+0000 and without a card number.
    pub fn text(&mut self, name: &'static str, min: usize, max: usize) -> Option<String> {
        let found = self.optional_text(name, min, max);
        self.required(name, found)
    }

    /// Takes such a string if it is there.
    pub fn optional_text(&mut self, name: &'static str, min: usize, max: usize) -> Option<String> {
        let value = self.take(name)?;
        match check_text(value, min, max) {
            Ok(text) => Some(text.to_owned()),
            Err(code) => {
                self.refuse(name, code);
                None
            }
        }
    }

    /// Takes a string that `parse` reads; card numbers and CVCs go this way, unseen by all checks of text.
    pub fn parsed<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, FieldCode>,
    ) -> Option<T> {
        let found = self.optional_parsed(name, parse);
        self.required(name, found)
    }

    /// Takes such a string if it is there.
    pub fn optional_parsed<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, FieldCode>,
    ) -> Option<T> {
        let parsed = match self.take(name)? {
            Json::Text(text) => parse(text),
            _ => Err(FieldCode::WrongType),
        };
        match parsed {
            Ok(value) => Some(value),
            Err(code) => {
                self.refuse(name, code);
                None
            }
        }
    }

    /// Takes one of the names that a type can be parsed from.
    pub fn optional_choice<T: FromStr>(&mut self, name: &'static str) -> Option<T> {
        self.optional_parsed(name, |text| text.parse().map_err(|_| FieldCode::InvalidFormat))
    }

    /// Takes an integer within bounds.
    pub fn integer(&mut self, name: &'static str, min: i64, max: i64) -> Option<i64> {
        let found = self.optional_integer(name, min, max);
        self.required(name, found)
    }

    /// Takes such an integer if it is there.
    pub fn optional_integer(&mut self, name: &'static str, min: i64, max: i64) -> Option<i64> {
        let value = self.take(name)?;
        match check_integer(value, min, max) {
            Ok(number) => Some(number),
            Err(code) => {
                self.refuse(name, code);
                None
            }
        }
    }

    /// Takes `true` or `false` if it is there.
    pub fn optional_bool(&mut self, name: &'static str) -> Option<bool> {
        match self.take(name)? {
            Json::Bool(value) => Some(*value),
            _ => {
                self.refuse(name, FieldCode::WrongType);
                None
            }
        }
    }

    /// Takes money.
    pub fn money(&mut self, name: &'static str) -> Option<Money> {
        let found = self.optional_money(name);
        self.required(name, found)
    }

    /// Takes money if it is there.
    pub fn optional_money(&mut self, name: &'static str) -> Option<Money> {
        self.optional_object(name, read_money)
    }

    /// Takes a list of money, at most one amount per currency, if it is there.
    pub fn optional_money_list(&mut self, name: &'static str) -> Option<Vec<Money>> {
        let Json::List(items) = self.take(name)? else {
            self.refuse(name, FieldCode::WrongType);
            return None;
        };
        let mut list: Vec<Money> = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let pointer = format!("{}/{name}/{index}", self.pointer);
            let mut fields = Fields::of(item, pointer.clone(), self.errors)?;
            let money = read_money(&mut fields);
            fields.refuse_unknown();
            let money = money?;
            if list.iter().any(|known| known.currency == money.currency) {
                self.errors.push(FieldError::new(format!("{pointer}/currency"), FieldCode::InvalidFormat));
            }
            list.push(money);
        }
        Some(list)
    }

    /// Takes any value, if it is there.
    pub fn any(&mut self, name: &'static str) -> Option<&'a Json> {
        self.take(name)
    }

    /// Takes a list of `min` to `max` objects whose members `read` takes.
    pub fn list<T>(
        &mut self,
        name: &'static str,
        min: usize,
        max: usize,
        mut read: impl FnMut(&mut Fields<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = match self.take(name) {
            Some(Json::List(items)) => items,
            Some(_) => {
                self.refuse(name, FieldCode::WrongType);
                return None;
            }
            None => return self.required(name, None),
        };
        if items.len() > max || items.len() < min {
            let code = if items.len() > max { FieldCode::TooLong } else { FieldCode::TooShort };
            self.refuse(name, code);
            return None;
        }
        let each = items.iter().enumerate().map(|(index, item)| {
            let mut fields = Fields::of(item, format!("{}/{name}/{index}", self.pointer), self.errors)?;
            let found = read(&mut fields);
            fields.refuse_unknown();
            found
        });
        // All of them are read before one that is missing counts: every error is named.
        each.collect::<Vec<_>>().into_iter().collect()
    }

    /// Takes an object whose members `read` takes.
    pub fn object<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Option<T> {
        let found = self.optional_object(name, read);
        self.required(name, found)
    }

    /// Takes such an object if it is there.
    pub fn optional_object<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(name)?;
        let mut fields = Fields::of(value, format!("{}/{name}", self.pointer), self.errors)?;
        let found = read(&mut fields);
        fields.refuse_unknown();
        found
    }

    /// Takes metadata, if it is there: string pairs within their limits.
    pub fn optional_metadata(&mut self) -> Option<Value> {
        const NAME: &str = "metadata";
        let Json::Object(pairs) = self.take(NAME)? else {
            self.refuse(NAME, FieldCode::WrongType);
            return None;
        };
        let bytes = |(key, value): (&String, &Json)| {
            key.len() + if let Json::Text(text) = value { text.len() } else { 0 }
        };
        if pairs.len() > METADATA_PAIRS_MAX || pairs.iter().map(bytes).sum::<usize>() > METADATA_BYTES_MAX {
            self.refuse(NAME, FieldCode::TooLong);
            return None;
        }
        let mut metadata = serde_json::Map::new();
        for (key, value) in pairs {
            let member = format!("{NAME}/{}", shown(key));
            let checked =
                check_plain(key, 1, METADATA_KEY_MAX).and_then(|()| check_text(value, 0, METADATA_VALUE_MAX));
            match checked {
                Ok(text) => drop(metadata.insert(key.clone(), text.into())),
                Err(code) => self.refuse(&member, code),
            }
        }
        Some(Value::Object(metadata))
    }

    /// Notes every member that nothing has taken.
    fn refuse_unknown(&mut self) {
        let unknown: Vec<&str> = self
            .members
            .keys()
            .filter(|name| !self.taken.contains(name.as_str()))
            .map(|name| shown(name))
            .collect();
        for name in unknown {
            self.refuse(name, FieldCode::Unknown);
        }
    }
}

fn read_money(fields: &mut Fields<'_>) -> Option<Money> {
    let amount = fields.integer("amount", 1, AMOUNT_MAX);
    let currency: Option<Currency> =
        fields.parsed("currency", |code| code.parse().map_err(|_| FieldCode::UnsupportedCurrency));
    Some(Money::new(amount?, currency?))
}

/// Checks an integer and its bounds. What is too large for any integer is out of range, whatever is
/// written with a fraction or an exponent is of the wrong type.
fn check_integer(value: &Json, min: i64, max: i64) -> Result<i64, FieldCode> {
    match value {
        Json::Integer(number) if (min..=max).contains(number) => Ok(*number),
        Json::Integer(_) => Err(FieldCode::OutOfRange),
        Json::Number(number) if Json::is_beyond_integers(*number) => Err(FieldCode::OutOfRange),
        _ => Err(FieldCode::WrongType),
    }
}

fn check_text(value: &Json, min: usize, max: usize) -> Result<&str, FieldCode> {
    let Json::Text(text) = value else { return Err(FieldCode::WrongType) };
    check_plain(text, min, max).map(|()| text.as_str())
}

/// Checks text that is kept as sent: its length in characters, U+0000, card numbers.
pub fn check_plain(text: &str, min: usize, max: usize) -> Result<(), FieldCode> {
    let length = text.chars().count();
    if text.contains('\0') {
        return Err(FieldCode::InvalidFormat);
    }
    if length > max {
        return Err(FieldCode::TooLong);
    }
    if length < min {
        return Err(FieldCode::TooShort);
    }
    if holds_card_number(text) {
        return Err(FieldCode::SensitiveData);
    }
    Ok(())
}

/// Shows a member's name only if it can't hold anything that should not be repeated.
pub(crate) fn shown(name: &str) -> &str {
    let plain = (1..=40).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if plain { name } else { "<unnamed>" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(body: &str, taking: impl FnOnce(&mut Fields<'_>) -> Option<()>) -> Vec<(String, &'static str)> {
        let json = Json::parse(body.as_bytes()).unwrap();
        match read(&json, taking) {
            Ok(()) => Vec::new(),
            Err(ApiError::InvalidRequest(errors)) => {
                errors.into_iter().map(|error| (error.pointer, error.code.code())).collect()
            }
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn names_all_errors_at_once() {
        let body =
            r#"{"amount":{"amount":1.5,"currency":"eur","x":1},"name":"","Other Name":1,"extra":null}"#;
        let found = errors(body, |fields| {
            let (name, amount) = (fields.text("name", 1, 10), fields.money("amount"));
            let _ = (fields.text("gone", 1, 5), name?, amount?);
            Some(())
        });
        let expected = [
            ("/name", "too_short"),
            ("/amount/amount", "wrong_type"),
            ("/amount/currency", "unsupported_currency"),
            ("/amount/x", "unknown"),
            ("/gone", "required"),
            ("/<unnamed>", "unknown"),
            ("/extra", "unknown"),
        ];
        assert_eq!(found, expected.map(|(pointer, code)| (pointer.to_owned(), code)));
    }

    #[test]
    fn integers_are_integers() {
        for (number, code) in [
            ("0", Some("out_of_range")),
            ("11", Some("out_of_range")),
            ("99999999999999999999", Some("out_of_range")),
            ("1e3", Some("wrong_type")),
            ("1.0", Some("wrong_type")),
            ("\"5\"", Some("wrong_type")),
            ("null", Some("required")),
            ("5", None),
        ] {
            let found =
                errors(&format!(r#"{{"n":{number}}}"#), |fields| fields.integer("n", 1, 10).map(drop));
            assert_eq!(found.first().map(|(_, code)| *code), code, "{number}");
        }
    }

    #[test]
    fn metadata_are_strings_within_limits() {
        let found =
            errors(r#"{"metadata":{"a":1,"b":"4242424242424242","c d":"\u0000","e":"fine"}}"#, |fields| {
                fields.optional_metadata().map(drop)
            });
        let expected = [
            ("/metadata/a", "wrong_type"),
            ("/metadata/b", "sensitive_data"),
            ("/metadata/<unnamed>", "invalid_format"),
        ];
        assert_eq!(found, expected.map(|(pointer, code)| (pointer.to_owned(), code)));
    }

    #[test]
    fn a_currency_comes_once() {
        let body = r#"{"list":[{"amount":1,"currency":"EUR"},{"amount":2,"currency":"EUR"}]}"#;
        let found = errors(body, |fields| fields.optional_money_list("list").map(drop));
        assert_eq!(found, [("/list/1/currency".to_owned(), "invalid_format")]);
    }
}
