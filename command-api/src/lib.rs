//! The gateway: commands over HTTP, decided in batches under the log's lock.
//!
//! A request is parsed ([`statement`] for files), checked and prepared in its own task ([`routes`]), becomes an [`order::Order`]
//! in the [`queue`], is decided and committed by the [`executor`] together with what waits beside it, and
//! answered from its stored outcome. Nothing is answered before it is durable. Behind the log, the [`relay`]
//! carries it to the broker, if there is one. What the clock brings about comes from the [`scheduler`]. [`service`] is all of it, [`program`] makes it a process of its
//! own.

pub mod authorization_days;
pub mod bulk;
pub mod executor;
pub mod gateway;
pub mod idempotency;
pub mod keys;
pub mod known_cards;
mod memo;
pub mod order;
pub mod program;
pub mod queue;
pub mod relay;
mod resource;
mod routes;
pub mod scheduler;
pub mod sealing;
pub mod service;
mod statement;
