//! `audit verify`: recomputes everything from the log, by code of its own.
//!
//! The log is the truth; all else is derived from it (design §1). This module derives it a second time:
//! it reads each event's canonical text and nothing else, checks that the event was allowed to follow
//! those before it, folds it in, and compares what comes out with the write side and the read models. It
//! calls no decision of `ledger-core` and no projection, so that a mistake there can't hide itself here;
//! it shares with them only the spelling of ids and currencies, and the opening of sealed fields.
//!
//! Modules in reading order: [`fold`], the pass over the log; what it reads ([`log`], [`event`],
//! [`fields`], [`canonical`]); what it folds into ([`ledger`] and a file for each aggregate, [`account`]
//! and [`balance`] for the money); what it compares with ([`model`], [`snapshot`], [`table`],
//! [`outcome`], [`subject`]); and what it says ([`report`]).

mod account;
mod api_key;
mod attempt;
mod balance;
mod canonical;
mod card;
mod client;
mod copy;
mod correction;
mod dispute;
mod event;
mod fee;
mod fields;
mod fold;
mod fx;
mod hold;
mod ledger;
mod log;
mod merchant;
mod model;
mod moment;
mod money;
mod outcome;
mod payment;
mod payout;
mod progress;
mod reconciliation;
mod refund;
mod report;
mod settlement;
mod snapshot;
mod subject;
mod table;
#[cfg(test)]
mod tests;

use anyhow::Context;
use indicatif::ProgressBar;
use ledger_core::personal::SecretKey;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::sync::mpsc;

pub use report::{Checked, Finding, Place, Report};

use fold::Fold;
use log::{Leaf, LogRow};
use model::{READ_MODELS, WRITE_SIDE};
use outcome::Outcomes;
use report::Findings;
use snapshot::Snapshot;
use subject::Vault;

/// How many positions are read by one statement.
const RANGE: u64 = 4096;

/// How many ranges are read ahead of the fold.
const RANGES_AHEAD: usize = 2;

/// What to audit.
#[derive(Clone)]
pub struct VerifyOptions {
    /// The log's database, as a role that may read all of its tables.
    pub log_url: String,
    /// The read models' database; may be the same.
    pub read_url: String,
    /// Opens personal fields; without it they are only seen to be there.
    pub master_key: Option<SecretKey>,
    /// Whether to show a progress bar on standard error.
    pub progress: bool,
}

/// Audits a ledger, which may be at work meanwhile: what is compared is read in short transactions, each
/// of which sees one state.
///
/// Findings are in the report. An error means that the audit could not be finished.
pub async fn verify(options: VerifyOptions) -> anyhow::Result<Report> {
    let mut log = connect(&options.log_url).await.context("the log can't be reached")?;
    let mut read = connect(&options.read_url).await.context("the read models can't be reached")?;
    let personal = options.master_key.is_some();
    let mut fold = Fold::new(Vault::new(options.master_key));

    let mut missing = Findings::default();
    let spinner = progress::of_tables(options.progress);
    // The read models first: then no checkpoint is past the head that is read after them.
    for model in READ_MODELS {
        match Snapshot::of_read_model(&mut read, model, personal).await? {
            Some(snapshot) => fold.snapshots.push(snapshot),
            None => {
                let key = format!("name {}", model.name());
                let place = Place::Row { table: "projections".to_owned(), key };
                missing.note(place, "row", "an active generation of this version's tables", "none");
            }
        }
    }
    let head = read_write_side(&mut log, &mut fold, personal).await?;
    spinner.finish_and_clear();
    let bar = progress::of_events(head, options.progress);
    let (fold, mut report) = run(&options.log_url, fold, head, bar).await?;

    let Fold { findings, outcomes, snapshots, .. } = fold;
    [findings, outcomes.findings, missing].into_iter().for_each(|found| report.add(found));
    for snapshot in &snapshots {
        let connection = if snapshot.schema.is_some() { &mut read } else { &mut log };
        report.add(explain(connection, snapshot).await?);
    }
    Ok(report)
}

async fn connect(url: &str) -> anyhow::Result<PgConnection> {
    let options: PgConnectOptions = url.parse()?;
    Ok(PgConnection::connect_with(&options.application_name("quittance audit")).await?)
}

/// Reads the write side as it stands at the head, in one snapshot; returns the head's position.
async fn read_write_side(log: &mut PgConnection, fold: &mut Fold, personal: bool) -> anyhow::Result<u64> {
    snapshot::begin(log).await?;
    let head: Option<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT position, leaf_hash FROM events ORDER BY position DESC LIMIT 1")
            .fetch_optional(&mut *log)
            .await
            .context("events can't be read")?;
    let (position, leaf_hash) = head.unwrap_or((0, vec![0; 32]));
    let head = position.unsigned_abs();
    fold.snapshots.insert(0, Snapshot::of_write_side(log, WRITE_SIDE, (head, leaf_hash), personal).await?);
    fold.outcomes = Outcomes::load(log, head).await?;
    fold.vault.load(log).await?;
    snapshot::end(log).await?;
    Ok(head)
}

/// Reads the log up to the head, range by range; meanwhile one thread reads the events, another folds them.
async fn run(url: &str, mut fold: Fold, head: u64, bar: ProgressBar) -> anyhow::Result<(Fold, Report)> {
    let (ranges, mut arriving) = mpsc::channel::<Vec<LogRow>>(RANGES_AHEAD);
    let (leaves, mut checked) = mpsc::channel::<Vec<Leaf>>(RANGES_AHEAD);
    let reading = tokio::spawn(read_log(connect(url).await?, head, ranges));
    let checking = tokio::task::spawn_blocking(move || {
        while let Some(rows) = arriving.blocking_recv() {
            if leaves.blocking_send(rows.into_iter().map(Leaf::of).collect()).is_err() {
                break;
            }
        }
    });
    let folding = tokio::task::spawn_blocking(move || {
        fold.begin();
        while let Some(leaves) = checked.blocking_recv() {
            bar.inc(leaves.len() as u64);
            leaves.into_iter().for_each(|leaf| fold.take(leaf));
        }
        bar.finish_and_clear();
        let report = fold.finish(head);
        (fold, report)
    });
    let folded = folding.await?;
    checking.await?;
    reading.await??;
    Ok(folded)
}

/// Sends the log's rows in ranges, each read by one short statement.
async fn read_log(mut log: PgConnection, head: u64, ranges: mpsc::Sender<Vec<LogRow>>) -> anyhow::Result<()> {
    for after in (0..head).step_by(RANGE as usize) {
        let last = head.min(after + RANGE);
        let query = format!(
            "SELECT {} FROM events WHERE position > {after} AND position <= {last} ORDER BY position",
            LogRow::COLUMNS
        );
        let mut rows = Vec::with_capacity(RANGE as usize);
        let reading = copy::rows(&mut log, &query, |row| {
            rows.push(LogRow::of(row)?);
            Ok(())
        });
        reading.await.context("events can't be read")?;
        if ranges.send(rows).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Names the rows of a snapshot that did not hold.
async fn explain(connection: &mut PgConnection, snapshot: &Snapshot) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    snapshot::begin(connection).await?;
    for table in snapshot.wrong() {
        let schema = snapshot.schema.as_deref();
        findings.append(table.explain(connection, schema, snapshot.model.name()).await?);
    }
    snapshot::end(connection).await?;
    Ok(findings)
}
