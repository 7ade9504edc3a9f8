//! A database of our own on the server that is measured, which goes away.

use anyhow::Context;
use event_store::entropy;
use event_store::migrate::identifier;
use event_store::server_url::with_database;
use sqlx::{AssertSqlSafe, PgPool};

use super::target::Target;

/// What the names of such databases begin with.
const PREFIX: &str = "quittance_bench_";

/// An empty database.
pub(super) struct Scratch {
    pub(super) url: String,
    name: String,
    server: PgPool,
}

impl Scratch {
    /// Makes it; removes those that interrupted runs have left behind.
    pub(super) async fn make(target: &Target) -> anyhow::Result<Self> {
        let server = target.log.clone();
        let left_behind: Vec<String> = sqlx::query_scalar(
            "SELECT datname::text FROM pg_database
             WHERE starts_with(datname, $1)
               AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE pg_stat_activity.datname = pg_database.datname)",
        )
        .bind(PREFIX)
        .fetch_all(&server)
        .await?;
        for name in left_behind {
            drop_database(&server, &name).await?;
        }
        let name = format!("{PREFIX}{}", hex::encode(entropy::bytes::<4>()));
        let create = format!("CREATE DATABASE {}", identifier(&name));
        sqlx::query(AssertSqlSafe(create))
            .execute(&server)
            .await
            .context("can't make a database beside it")?;
        Ok(Self { url: with_database(&target.credentials.database_url, &name)?, name, server })
    }

    /// Removes it.
    pub(super) async fn remove(self) -> anyhow::Result<()> {
        drop_database(&self.server, &self.name).await
    }
}

async fn drop_database(server: &PgPool, name: &str) -> anyhow::Result<()> {
    let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", identifier(name));
    sqlx::query(AssertSqlSafe(drop)).execute(server).await?;
    Ok(())
}
