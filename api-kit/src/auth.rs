//! Who asks: the API key of a request, looked up each time, so that a revocation counts at once. A command's key
//! is looked up under the log's lock, where that costs nothing.

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use event_store::lookup::Principal;
use ledger_core::api_key::Role;
use sha2::{Digest, Sha256};

use crate::api_keys::ApiKeys;
use crate::problem::ApiError;

/// Lets a request through if it bears a live API key, or if its path needs none.
///
/// A request whose key was live before goes on at once. A query is answered only if the key is found live meanwhile. A
/// command's key is looked at by the executor before it decides, which says so by [`KeyIsLive`]; any other answer
/// to it is given only if the key is still live then, but for one that leaves open whether the command was carried
/// out: no other may stand in its place.
pub async fn layer(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    if door.is_public(request.uri().path()) {
        return next.run(request).await;
    }
    let Some(secret_hash) = secret_hash(&request) else {
        return ApiError::Unauthenticated.into_response();
    };
    let known = door.keys.known(&secret_hash);
    let is_command = request.method() == Method::POST;
    let is_known = known.is_some();
    let principal = match known {
        Some(principal) => principal,
        None => match door.principal(secret_hash).await {
            Ok(principal) => principal,
            Err(error) => return error.into_response(),
        },
    };
    request.extensions_mut().insert(principal);
    match (is_known, is_command) {
        (false, _) => next.run(request).await,
        (true, false) => {
            let answered = async { Ok(next.run(request).await) };
            match tokio::try_join!(door.principal(secret_hash), answered) {
                Ok((_, response)) => response,
                Err(error) => error.into_response(),
            }
        }
        (true, true) => {
            let response = next.run(request).await;
            let is_live = response.extensions().get::<KeyIsLive>().is_some();
            if is_live || leaves_open(response.status()) {
                return response;
            }
            door.principal(secret_hash).await.map_or_else(IntoResponse::into_response, |_| response)
        }
    }
}

/// Tells whether a command that is answered so may have been carried out all the same.
pub fn leaves_open(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE
}

/// Marks an answer as given after a look at the request's API key under the log's lock.
#[derive(Clone, Copy)]
pub struct KeyIsLive;

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

    async fn principal(&self, secret_hash: [u8; 32]) -> Result<Principal, ApiError> {
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
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::post;
    use ledger_core::ids::KeyId;
    use sqlx::PgPool;
    use sqlx::types::Uuid;
    use tower::ServiceExt;

    use super::*;

    /// Answers a command with a key that was live before, while no database can be asked.
    async fn answered(status: StatusCode, is_live: bool) -> StatusCode {
        let pool = PgPool::connect_lazy("postgres://nobody@localhost/none").unwrap();
        pool.close().await;
        let keys = ApiKeys::new(pool);
        let principal =
            Principal { key_id: KeyId::new(Uuid::from_u128(1)), role: Role::Operator, merchant_id: None };
        keys.remember(Sha256::digest("qk_1").into(), principal);
        let handler = move || async move {
            let mut response = status.into_response();
            if is_live {
                response.extensions_mut().insert(KeyIsLive);
            }
            response
        };
        let door = Door { keys, public: &[] };
        let routes = Router::new().route("/", post(handler)).layer(from_fn_with_state(door, layer));
        let request = Request::post("/").header(AUTHORIZATION, "Bearer qk_1").body(Body::empty());
        routes.oneshot(request.unwrap()).await.unwrap().status()
    }

    #[tokio::test]
    async fn what_may_have_been_carried_out_is_told_whatever_becomes_of_the_key() {
        for told in [StatusCode::GATEWAY_TIMEOUT, StatusCode::INTERNAL_SERVER_ERROR] {
            assert_eq!(answered(told, false).await, told);
        }
        assert_eq!(answered(StatusCode::CREATED, true).await, StatusCode::CREATED);
        for held_back in [StatusCode::UNPROCESSABLE_ENTITY, StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE] {
            assert_eq!(answered(held_back, false).await, StatusCode::SERVICE_UNAVAILABLE);
        }
    }

    #[test]
    fn reads_bearer_keys_only() {
        assert_eq!(bearer("Bearer qk_1"), Some("qk_1"));
        assert_eq!(bearer("bearer  qk_1"), Some("qk_1"));
        for header in ["qk_1", "Basic qk_1", "Bearer sk_1", "Bearer"] {
            assert_eq!(bearer(header), None, "{header}");
        }
    }
}
