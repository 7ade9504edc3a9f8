//! What a longer log costs: appending to it, the memory of the process, the disk, its questions.

use std::fmt;
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;

use super::fill::fill;
use super::latency::{Latencies, millis};
use super::load::LoadOptions;
use super::measured::{CATCH_UP_LIMIT, Work};
use super::payments::Payments;
use super::query::{Queries, Question};
use super::shop::{Shop, ShopOptions, open_accounts};
use super::target::Target;
use crate::caller::Caller;

/// How many events the first size is; each other is ten times the one before.
const SMALLEST: u64 = 10_000;

/// At how many events the cost of appending is the one that later ones are held against.
const REFERENCE: u64 = 100_000;

/// For how many events there is an account more, of a client who never pays.
const EVENTS_AN_ACCOUNT: u64 = 10;

/// How many accounts are opened at once.
const ACCOUNTS_AT_ONCE: u64 = 10_000;

/// What was found at each size.
#[derive(Serialize)]
pub(super) struct Growth {
    sizes: Vec<Size>,
    /// What appending a command took at the last size, divided by that at a hundred thousand events.
    append_ratio: Option<f64>,
}

#[derive(Serialize)]
struct Size {
    /// How many events were in the log before the load.
    events: u64,
    /// How many accounts there were, but for the thousand that pay.
    accounts: u64,
    payments_per_second: f64,
    payment: Latencies,
    /// From a batch's first row to its COMMIT, for each of its commands.
    append_micros: Option<f64>,
    /// Balances now and as of past moments.
    balances: Latencies,
    /// Of the whole process of the private system: command API, projectors and query API.
    resident_bytes: Option<u64>,
    /// By how much the whole database has grown, read models too, for each payment that was filled in, if any was.
    disk_bytes_per_payment: Option<f64>,
}

/// Grows a log to so many events, and measures at each power of ten on the way.
pub(super) async fn grow(target: &Target, events: u64, load: &LoadOptions) -> anyhow::Result<Growth> {
    let people = ShopOptions { clients: 1000, merchants: 100, zipf: None };
    let shop = Arc::new(Shop::open(target, &people).await?);
    let payments = Arc::new(Payments(Shop::open(target, &people).await?));
    let mut sizes = Vec::new();
    let mut size = SMALLEST.min(events);
    let caller = Caller::new(&target.credentials);
    let mut accounts = 0;
    loop {
        while accounts < size / EVENTS_AN_ACCOUNT {
            let more = ACCOUNTS_AT_ONCE.min(size / EVENTS_AN_ACCOUNT - accounts);
            open_accounts(&caller, usize::try_from(more)?).await?;
            accounts += more;
        }
        target.caught_up(CATCH_UP_LIMIT).await?;
        let before = disk_bytes(target).await?;
        let filled = fill(target, &shop, size).await?;
        target.caught_up(CATCH_UP_LIMIT).await?;
        let grown = disk_bytes(target).await? - before;
        let disk_bytes_per_payment = (filled > 0).then_some(grown / f64::from(u32::try_from(filled)?));
        clean_up(target).await?;
        let measured = Size { accounts, disk_bytes_per_payment, ..measure(target, &payments, load).await? };
        // The largest size takes long: what is known before is not lost with it.
        tracing::info!(measured = serde_json::to_string(&measured)?, "a size is measured");
        sizes.push(measured);
        if size >= events {
            let append_ratio = append_ratio(&sizes);
            return Ok(Growth { sizes, append_ratio });
        }
        size = (size * 10).min(events);
    }
}

/// Measures a size as it stands; how it came about is the caller's to say.
async fn measure(target: &Target, payments: &Arc<Payments>, load: &LoadOptions) -> anyhow::Result<Size> {
    let events = target.head().await?;
    let url = &target.credentials.command_url;
    let work = Work { what: "payments", url, traffic: Arc::clone(payments), held_back: false };
    let paid = work.measure(target, load).await?;
    let questions = Queries::of(target, vec![Question::Balances, Question::AsOf], None).await?;
    let url = &target.credentials.query_url;
    let asked = Work { what: "queries", url, traffic: Arc::new(questions), held_back: false }
        .measure(target, load)
        .await?;
    let mut balances = Latencies::new();
    asked.latency.values().for_each(|latencies| balances.add(latencies));
    let service = &paid.service;
    let append = service.append_seconds.as_ref().zip(service.batch_commands.as_ref());
    Ok(Size {
        events,
        accounts: 0,
        payments_per_second: paid.steps_per_second,
        append_micros: append.map(|(append, commands)| append.mean * 1e6 / commands.mean),
        payment: paid.latency.into_values().next().context("nobody has paid")?,
        balances,
        resident_bytes: target.resident_bytes(),
        disk_bytes_per_payment: None,
    })
}

fn append_ratio(sizes: &[Size]) -> Option<f64> {
    let reference = sizes.iter().find(|size| size.events >= REFERENCE)?;
    Some(sizes.last()?.append_micros? / reference.append_micros?)
}

/// Has PostgreSQL do at once what it would do by and by about the rows that were filled in: in the middle of a
/// measurement it would count for the wrong size.
async fn clean_up(target: &Target) -> anyhow::Result<()> {
    for database in [&target.log, &target.read] {
        sqlx::query("VACUUM (ANALYZE)").execute(database).await?;
        if target.read_url == target.credentials.database_url {
            break;
        }
    }
    Ok(())
}

async fn disk_bytes(target: &Target) -> anyhow::Result<f64> {
    let bytes = "SELECT pg_database_size(current_database())::float8";
    let log: f64 = sqlx::query_scalar(bytes).fetch_one(&target.log).await?;
    if target.read_url == target.credentials.database_url {
        return Ok(log);
    }
    Ok(log + sqlx::query_scalar::<_, f64>(bytes).fetch_one(&target.read).await?)
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>11} {:>9} {:>11} {:>15} {:>12} {:>14} {:>10} {:>12}",
            "events",
            "accounts",
            "payments/s",
            "append/command",
            "payment p99",
            "balances p99",
            "memory",
            "disk/payment"
        )?;
        for size in &self.sizes {
            let append = size.append_micros.map_or("-".to_owned(), |append| format!("{append:.0} µs"));
            let memory = size.resident_bytes.map_or("-".to_owned(), |bytes| format!("{} MiB", bytes >> 20));
            let disk = size.disk_bytes_per_payment.map_or("-".to_owned(), |bytes| format!("{bytes:.0} B"));
            let p99 = |latencies: &Latencies| format!("{:.2} ms", millis(latencies.permille(990)));
            write!(
                f,
                "\n{:>11} {:>9} {:>11.1} {append:>15} {:>12} {:>14} {memory:>10} {disk:>12}",
                size.events,
                size.accounts,
                size.payments_per_second,
                p99(&size.payment),
                p99(&size.balances),
            )?;
        }
        if let Some(ratio) = self.append_ratio {
            write!(f, "\nan append at the last size ÷ at {REFERENCE} events: {ratio:.3}")?;
        }
        Ok(())
    }
}
