//! The query API: balances, histories, payments and the log, read only (I9).
//!
//! A query reads one snapshot of one read model: its first statement finds the live generation and its
//! checkpoint, so the `Ledger-Position` of the answer is exact ([`read_model`]). Who needs a later position
//! waits for it without holding a connection ([`watcher`]); a past [`moment`] is a position like any other. Those who
//! ask for [`balances`] at once are answered from one snapshot.
//! One noun of the API is one file of [`routes`]. [`program`] makes it a process of its own.

mod accounts;
mod answer;
mod asked;
mod balances;
mod csv;
mod moment;
pub mod program;
mod read_model;
mod routes;
mod rows;
mod service;
mod watcher;

pub use service::QueryApi;
