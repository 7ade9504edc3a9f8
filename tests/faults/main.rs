//! Faults: each part of a ledger is lost, stalled or lied to while the others work.

#![expect(clippy::unwrap_used, reason = "a test says plainly what must be so")]

mod broker;

mod leaks;
mod lock;
mod processes;
mod restore;
