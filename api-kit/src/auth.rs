//! Who asks: the API key of a request, looked up each time, so that a revocation counts at once.

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use event_store::lookup::Principal;
use ledger_core::api_key::Role;
use sha2::{Digest, Sha256};

use crate::api_keys::ApiKeys;
use crate::problem::ApiError;

/// Lets a request through if it bears a live API key, or if its path needs none.
pub async fn layer(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    if door.is_public(request.uri().path()) {
        return next.run(request).await;
    }
    match door.principal(secret_hash(&request)).await {
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

/// What the layer needs.
#[derive(Clone)]
pub struct Door {
    /// Where keys are looked up.
    pub keys: ApiKeys,
    /// Paths that need no key.
    pub public: &'static [&'static str],
}

impl Door {
    fn is_public(&self, path: &str) -> bool {
        self.public.contains(&path)
    }

    async fn principal(&self, secret_hash: Option<[u8; 32]>) -> Result<Principal, ApiError> {
        let secret_hash = secret_hash.ok_or(ApiError::Unauthenticated)?;
        self.keys.find(secret_hash).await?.ok_or(ApiError::Unauthenticated)
    }
}

/// Hashes the key that a request bears.
fn secret_hash(request: &Request) -> Option<[u8; 32]> {
    let header = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    Some(Sha256::digest(bearer(header)?.as_bytes()).into())
}

/// Reads `Bearer qk_…` (RFC 6750); the scheme's name in any case.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, secret) = header.split_once(' ')?;
    let secret = secret.trim();
    (scheme.eq_ignore_ascii_case("bearer") && secret.starts_with("qk_")).then_some(secret)
}

/// Refuses a caller whose role is none of these.
pub fn require(principal: &Principal, roles: &[Role]) -> Result<(), ApiError> {
    if roles.contains(&principal.role) { Ok(()) } else { Err(ApiError::Forbidden) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_bearer_keys_only() {
        assert_eq!(bearer("Bearer qk_1"), Some("qk_1"));
        assert_eq!(bearer("bearer  qk_1"), Some("qk_1"));
        for header in ["qk_1", "Basic qk_1", "Bearer sk_1", "Bearer"] {
            assert_eq!(bearer(header), None, "{header}");
        }
    }
}
