//! A query's request: who asks, for what, and how it wants the answer.

use api_kit::fields::{FieldCode, FieldError};
use api_kit::problem::ApiError;
use api_kit::query_string::{self, Parameters};
use axum::extract::FromRequestParts;
use axum::http::header::ACCEPT;
use axum::http::request::Parts;
use event_store::lookup::Principal;
use ledger_core::api_key::Role;

/// What a handler needs of a request; nothing of it is checked before the role is.
pub(crate) struct Asked {
    principal: Principal,
    query: Option<String>,
    min_position: Option<String>,
    accept: String,
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let text = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap_or("?").to_owned());
        Ok(Self {
            principal: parts.extensions.get::<Principal>().cloned().ok_or(ApiError::Unauthenticated)?,
            query: parts.uri.query().map(str::to_owned),
            min_position: text("ledger-min-position"),
            accept: text(ACCEPT.as_str()).unwrap_or_default(),
        })
    }
}

impl Asked {
    /// Refuses callers of other roles.
    pub(crate) fn require(&self, roles: &[Role]) -> Result<(), ApiError> {
        api_kit::auth::require(&self.principal, roles)
    }

    /// Returns the caller's role.
    pub(crate) const fn role(&self) -> Role {
        self.principal.role
    }

    /// Returns the merchant that the caller is; `None` for the house's own roles.
    pub(crate) fn merchant(&self) -> Option<String> {
        self.principal.merchant_id.map(|id| id.to_string())
    }

    /// Refuses another merchant's object, as if it were not there.
    pub(crate) fn owns(&self, merchant: &str) -> Result<(), ApiError> {
        match self.merchant() {
            Some(own) if own != merchant => Err(ApiError::NotFound),
            Some(_) | None => Ok(()),
        }
    }

    /// Reads the parameters; what `read` does not take is unknown.
    pub(crate) fn parameters<T>(&self, read: impl FnOnce(&mut Parameters) -> T) -> Result<T, ApiError> {
        let found = query_string::read(self.query.as_deref(), read)?;
        self.min_position()?;
        Ok(found)
    }

    /// Returns the position that the answer must reflect.
    pub(crate) fn min_position(&self) -> Result<u64, ApiError> {
        let Some(text) = &self.min_position else { return Ok(0) };
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(position) if plain => Ok(position),
            _ => Err(ApiError::field(FieldError::new("/Ledger-Min-Position", FieldCode::InvalidFormat))),
        }
    }

    /// Tells whether the caller wants a media type.
    pub(crate) fn accepts(&self, media_type: &str) -> bool {
        self.accept
            .split(',')
            .any(|range| range.split(';').next().is_some_and(|essence| essence.trim() == media_type))
    }
}
