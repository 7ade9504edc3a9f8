//! The harness: a whole ledger for each test, and an audit of it at the end.
//!
//! One PostgreSQL serves a test run; each test has a database of its own, made from a migrated template,
//! and both APIs on free ports, with a clock that it can move. [`TestLedger::finish`] waits for the read
//! models and audits everything, so that each test also checks the invariants. Nothing here retries
//! anything but a 503, which says that nothing ran. [`services`] starts the services as processes instead.

#![expect(clippy::unwrap_used, reason = "a harness that can't do its work fails the test")]

pub mod answer;
pub mod broker;
pub mod cluster;
pub mod ledger;
pub mod load;
pub mod people;
pub mod proxy;
pub mod services;

pub use answer::Answer;
pub use ledger::{TestLedger, eventually};
pub use load::{Load, Sent};
pub use people::{Client, Merchant};
pub use proxy::Proxy;
