//! Query parameters, read as strictly as bodies: all that is wrong at once, nothing repeated.

use std::collections::BTreeMap;
use std::str::FromStr;

use ledger_core::Timestamp;

use crate::fields::{FieldCode, FieldError, check_plain, shown};
use crate::problem::ApiError;

/// Reads parameters: `read` takes what it knows, everything else is unknown.
///
/// # Errors
///
/// 422 with all errors, if there is any.
pub fn read<T>(query: Option<&str>, read: impl FnOnce(&mut Parameters) -> T) -> Result<T, ApiError> {
    let mut parameters = Parameters::parse(query.unwrap_or_default());
    let found = read(&mut parameters);
    parameters.refuse_unknown();
    if parameters.errors.is_empty() { Ok(found) } else { Err(ApiError::InvalidRequest(parameters.errors)) }
}

/// The parameters of a request, taken one after another. A getter that returns `None` for a parameter that
/// is there has noted why.
pub struct Parameters {
    values: BTreeMap<String, String>,
    errors: Vec<FieldError>,
}

impl Parameters {
    fn parse(query: &str) -> Self {
        let (mut values, mut errors) = (BTreeMap::new(), Vec::new());
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if values.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                errors.push(FieldError::new(format!("/{}", shown(&name)), FieldCode::InvalidFormat));
            }
        }
        Self { values, errors }
    }

    /// Notes an error of a parameter.
    pub fn refuse(&mut self, name: &str, code: FieldCode) {
        self.errors.push(FieldError::new(format!("/{name}"), code));
    }

    /// Takes a parameter that `parse` reads.
    pub fn parsed<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, FieldCode>) -> Option<T> {
        match parse(&self.values.remove(name)?) {
            Ok(value) => Some(value),
            Err(code) => {
                self.refuse(name, code);
                None
            }
        }
    }

    /// Takes an id, a choice, a currency: whatever can be parsed.
    pub fn value<T: FromStr>(&mut self, name: &str) -> Option<T> {
        self.parsed(name, |text| text.parse().map_err(|_| FieldCode::InvalidFormat))
    }

    /// Takes an integer within bounds.
    pub fn integer(&mut self, name: &str, min: i64, max: i64) -> Option<i64> {
        self.parsed(name, |text| {
            let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            match text.parse::<i64>() {
                Ok(number) if plain && (min..=max).contains(&number) => Ok(number),
                Ok(_) if plain => Err(FieldCode::OutOfRange),
                Err(_) if plain => Err(FieldCode::OutOfRange),
                _ => Err(FieldCode::InvalidFormat),
            }
        })
    }

    /// Takes a moment in RFC 3339.
    pub fn timestamp(&mut self, name: &str) -> Option<Timestamp> {
        self.value(name)
    }

    /// Takes text of up to `max` characters.
    pub fn text(&mut self, name: &str, max: usize) -> Option<String> {
        self.parsed(name, |text| check_plain(text, 1, max).map(|()| text.to_owned()))
    }

    fn refuse_unknown(&mut self) {
        for name in std::mem::take(&mut self.values).into_keys() {
            self.refuse(shown(&name), FieldCode::Unknown);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(query: &str) -> Vec<FieldError> {
        match read(Some(query), |parameters| {
            (parameters.integer("limit", 1, 9), parameters.timestamp("from"))
        }) {
            Ok(_) => Vec::new(),
            Err(ApiError::InvalidRequest(errors)) => errors,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn names_all_errors_at_once() {
        let error = FieldError::new;
        assert_eq!(errors("limit=3&from=2026-01-01T00:00:00Z"), []);
        assert_eq!(
            errors("limit=0&from=now&dry_run=1&Odd%20One=2"),
            [
                error("/limit", FieldCode::OutOfRange),
                error("/from", FieldCode::InvalidFormat),
                error("/<unnamed>", FieldCode::Unknown),
                error("/dry_run", FieldCode::Unknown),
            ]
        );
        assert_eq!(errors("limit=1&limit=2"), [error("/limit", FieldCode::InvalidFormat)]);
        assert_eq!(errors("limit=-1"), [error("/limit", FieldCode::InvalidFormat)]);
        assert_eq!(errors("limit=99999999999999999999"), [error("/limit", FieldCode::OutOfRange)]);
    }
}
