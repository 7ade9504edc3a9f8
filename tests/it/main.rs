//! Black-box tests: the ledger from outside, over HTTP, on a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test says plainly what must be so")]

mod append_only;
mod authorizations;
mod bulk;
mod cards;
mod command_line;
mod concurrency;
mod corrections;
mod disputes;
mod failing_append;
mod fx;
mod idempotency;
mod kills;
mod lives;
mod money;
mod past;
mod plans;
mod poison;
mod programs;
mod properties;
mod queries;
mod rebuilds;
mod reconciliation;
mod refusals;
mod routes;
mod settlements;
mod standing;
mod tampering;
mod upgrade;
