//! Catching up: all read models from an empty start, in a database of their own on the same server.

use std::sync::Arc;
use std::time::Instant;

use anyhow::ensure;
use event_store::broker::EmbeddedBroker;
use event_store::database;
use event_store::migrate::{self, DatabaseRole};
use event_store::server_url::with_user;
use projectors::checkpoint;
use projectors::runner::{Runner, RunnerConfig};
use tokio_util::sync::CancellationToken;

use super::books;
use super::measured::CATCH_UP_LIMIT;
use super::reading::per_second;
use super::scratch::Scratch;
use super::target::Target;

/// What the figure is called.
pub(super) const CATCH_UP: &str = "events/s folded into all read models";

/// Folds the whole log into new read models, and audits them; returns the events a second.
///
/// # Errors
///
/// They do not get there, or their rows are not what the auditor makes of the log.
pub(super) async fn catch_up(target: &Target) -> anyhow::Result<f64> {
    let scratch = Scratch::make(target).await?;
    let caught_up = catch_up_in(target, &scratch.url).await;
    scratch.remove().await?;
    caught_up
}

async fn catch_up_in(target: &Target, url: &str) -> anyhow::Result<f64> {
    let roles = &target.roles;
    // With tables for a log, which stay empty: the roles are those of the system.
    migrate::migrate(url, url, roles).await?;
    let password = roles.passwords.get(&DatabaseRole::Projector).map_or("", String::as_str);
    let pool = |url: &str, connections| {
        let url = with_user(url, &roles.name(DatabaseRole::Projector), password)?;
        anyhow::Ok(database::pool(database::options(&url, "quittance bench")?, connections))
    };
    let read = pool(url, 8)?;
    let log = pool(&target.credentials.database_url, 4)?;
    let runner = Runner::new(RunnerConfig {
        log: log.clone(),
        read: read.clone(),
        master_key: target.master_key.clone(),
        broker: Arc::new(EmbeddedBroker),
    });
    runner.prepare().await?;
    let head = target.head().await?;
    let token = CancellationToken::new();
    let began = Instant::now();
    let running = tokio::spawn(runner.run(token.clone()));
    let there = checkpoint::wait_until(&read, head, CATCH_UP_LIMIT).await;
    let took = began.elapsed();
    token.cancel();
    running.await??;
    ensure!(there?, "the read models do not catch up");
    read.close().await;
    log.close().await;
    books::audit(target, url).await?;
    Ok(per_second(head, took))
}
