//! What the services share: how a program starts and stops, how a request comes in, how a refusal goes out.
//!
//! [`service::assemble`] puts the common parts around a service's own routes, in the order in which the
//! contract refuses: an unknown key before an unknown route, that before a wrong method. The handlers go
//! on in the same order with [`auth::require`], [`body::read_json`], [`fields::read`] and
//! [`query_string::read`]; whatever refuses is an [`ApiError`], and the outermost layer,
//! [`request_id`], makes it a problem document. [`serve::serve`] is the accept loop. A service's program
//! begins with [`program`], and waits in [`admission`] until its databases let it work.

pub mod admission;
pub mod api_keys;
pub mod auth;
pub mod body;
pub mod docs;
pub mod fields;
pub mod health;
pub mod json;
pub mod metrics;
pub mod page;
pub mod problem;
pub mod program;
pub mod query_string;
pub mod request_id;
pub mod serve;
pub mod service;
pub mod together;

use axum::http::HeaderName;

pub use problem::ApiError;

/// The position that an answer reflects or was decided at.
pub const LEDGER_POSITION: HeaderName = HeaderName::from_static("ledger-position");
