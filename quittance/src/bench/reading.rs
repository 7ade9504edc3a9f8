//! How fast the log can be read at all: by COPY. The yardstick of what folds it.

use std::time::Instant;

use anyhow::{Context, ensure};
use futures_util::TryStreamExt;
use sqlx::Connection;
use sqlx::PgConnection;

use super::target::Target;

/// What the figure is called.
pub(super) const COPY: &str = "events/s read by COPY";

/// Reads the whole log by COPY; returns the events a second.
pub(super) async fn copy(target: &Target) -> anyhow::Result<f64> {
    let events = target.head().await?;
    ensure!(events > 0, "the log is empty");
    let mut connection = PgConnection::connect(&target.credentials.database_url).await?;
    let began = Instant::now();
    let mut rows = connection.copy_out_raw("COPY events TO STDOUT").await?;
    while rows.try_next().await.context("the log can't be read")?.is_some() {}
    drop(rows);
    let took = began.elapsed();
    connection.close().await?;
    Ok(per_second(events, took))
}

/// Tells how many a second that is.
#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^53")]
pub(super) fn per_second(count: u64, took: std::time::Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
