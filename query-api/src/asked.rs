//! A question, as it came in: who asks, for what, and for which position at least.

use api_kit::auth;
use api_kit::fields::FieldCode;
use api_kit::problem::ApiError;
use api_kit::query_string::{self, Parameters};
use axum::extract::FromRequestParts;
use axum::http::header::ACCEPT;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use event_store::lookup::Principal;
use ledger_core::api_key::Role;
use ledger_core::ids::MerchantId;

static LEDGER_MIN_POSITION: HeaderName = HeaderName::from_static("ledger-min-position");

/// A question.
pub(crate) struct Asked {
    /// Who asks.
    pub(crate) principal: Principal,
    query: Option<String>,
    headers: HeaderMap,
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let principal = parts.extensions.get::<Principal>().cloned().ok_or(ApiError::Unauthenticated)?;
        let query = parts.uri.query().map(str::to_owned);
        Ok(Self { principal, query, headers: parts.headers.clone() })
    }
}

impl Asked {
    /// Lets these roles in and reads the parameters: 403, then 422. Returns with them the position that the
    /// answer has to reflect at least; 0 if any will do.
    pub(crate) fn read<T>(
        &self,
        roles: &[Role],
        read: impl FnOnce(&mut Parameters) -> T,
    ) -> Result<(T, u64), ApiError> {
        auth::require(&self.principal, roles)?;
        query_string::read(self.query.as_deref(), |parameters| {
            let wanted = self.min_position().unwrap_or_else(|code| {
                parameters.refuse("Ledger-Min-Position", code);
                0
            });
            (read(parameters), wanted)
        })
    }

    fn min_position(&self) -> Result<u64, FieldCode> {
        let mut values = self.headers.get_all(&LEDGER_MIN_POSITION).iter();
        let Some(value) = values.next() else { return Ok(0) };
        let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let position = digits.and_then(|digits| digits.parse::<i64>().ok());
        position.filter(|_| values.next().is_none()).map(i64::unsigned_abs).ok_or(FieldCode::InvalidFormat)
    }

    /// Returns the merchant that a merchant sees nothing beside; `None` for the roles that see all.
    pub(crate) fn merchant(&self) -> Option<MerchantId> {
        match self.principal.role {
            Role::Merchant => self.principal.merchant_id,
            Role::Operator | Role::Auditor | Role::Analyst => None,
        }
    }

    /// Hides what is another merchant's: it is not found.
    pub(crate) fn own(&self, merchant_id: &str) -> Result<(), ApiError> {
        match self.merchant() {
            Some(own) if own.to_string() != merchant_id => Err(ApiError::NotFound),
            _ => Ok(()),
        }
    }

    /// Tells whether the caller reads what people wrote: all but analysts.
    pub(crate) fn sees_words(&self) -> bool {
        self.principal.role != Role::Analyst
    }

    /// Tells whether the caller would rather have this media type than JSON: the first of the two that the
    /// Accept header names.
    pub(crate) fn prefers(&self, media_type: &str) -> bool {
        let accepted = self.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let essence = |item: &str| item.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let known = |essence: &String| essence == media_type || essence == "application/json";
        let mut named = accepted.flat_map(|value| value.split(',')).map(essence);
        named.find(known).is_some_and(|first| first == media_type)
    }
}

/// Reads an id of the path; a malformed one is nobody's.
pub(crate) fn id<T: std::str::FromStr>(text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|_| ApiError::NotFound)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use event_store::entropy;
    use ledger_core::ids::KeyId;

    use super::*;

    fn asked(role: Role, headers: &[(&'static str, &'static str)]) -> Asked {
        let principal = Principal { key_id: KeyId::new(entropy::uuid()), role, merchant_id: None };
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        Asked { principal, query: None, headers: headers.iter().map(header).collect() }
    }

    #[test]
    fn a_position_is_digits() {
        let wanted = |value| {
            let asked = asked(Role::Operator, &[("ledger-min-position", value)]);
            asked.read(&[Role::Operator], |_| ()).map(|((), wanted)| wanted)
        };
        assert_eq!(wanted("17").unwrap(), 17);
        for value in ["", "-1", "+1", "1.0", " ", "99999999999999999999"] {
            assert_eq!(wanted(value).unwrap_err().code(), "invalid_request", "{value:?}");
        }
    }

    #[test]
    fn the_role_comes_first() {
        let refused = asked(Role::Analyst, &[("ledger-min-position", "x")]).read(&[Role::Auditor], |_| ());
        assert_eq!(refused.unwrap_err().code(), "forbidden");
    }

    #[test]
    fn the_first_known_type_is_preferred() {
        let prefers = |accept| asked(Role::Operator, &[("accept", accept)]).prefers("text/csv");
        assert!(prefers("text/csv"));
        assert!(prefers("text/html, Text/CSV;q=0.9, application/json"));
        assert!(!prefers("application/json, text/csv"));
        assert!(!prefers("*/*"));
    }
}
