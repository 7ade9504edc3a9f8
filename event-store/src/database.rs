//! Connections and pools.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgPool};

use crate::error::StoreError;

/// Parses a URL and names the program to the server, for whoever reads `pg_stat_activity`.
pub fn options(url: &str, program: &str) -> Result<PgConnectOptions, StoreError> {
    let options: PgConnectOptions = url.parse()?;
    Ok(options.application_name(program).log_statements(tracing::log::LevelFilter::Off))
}

/// Opens a pool lazily: a server that is away fails the first use, not the start.
pub fn pool(options: PgConnectOptions, connections_max: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(Duration::from_secs(2))
        .idle_timeout(Duration::from_secs(600))
        .connect_lazy_with(options)
}
