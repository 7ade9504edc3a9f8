//! Black-box tests: the ledger from outside, over HTTP, on a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test says plainly what must be so")]

mod append_only;
mod cards;
mod command_line;
mod concurrency;
mod failing_append;
mod idempotency;
mod kills;
mod money;
mod past;
mod poison;
mod programs;
mod queries;
mod refusals;
mod routes;
mod tampering;
