//! PostgreSQL as the private server of one data folder.
//!
//! [`PrivatePostgres::start`] finds or installs PostgreSQL ([`programs`]), makes the folder's cluster if
//! there is none yet ([`cluster`]) and runs a server on it ([`server`]). Nobody has to put anything in
//! order by hand: it does not matter whether the last run ended well, was killed, or left its server
//! behind.

mod cluster;
mod programs;
mod server;

pub(crate) use programs::PostgresPrograms;
pub use server::PrivatePostgres;
