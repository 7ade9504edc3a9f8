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
use super::shop::{Shop, ShopOptions};
use super::target::Target;

/// How many events the first size is; each other is ten times the one before.
const SMALLEST: u64 = 10_000;

/// At how many events the cost of appending is the one that later ones are held against.
const REFERENCE: u64 = 100_000;

/// What was found at each size.
#[derive(Serialize)]
pub(super) struct Growth {
    sizes: Vec<Size>,
    /// The mean append at the last size, divided by that at a hundred thousand events.
    append_ratio: Option<f64>,
}

#[derive(Serialize)]
struct Size {
    /// How many events were in the log before the load.
    events: u64,
    payments_per_second: f64,
    payment: Latencies,
    append_ms_mean: Option<f64>,
    /// Balances now and as of past moments.
    balances: Latencies,
    /// Of the whole process of the private system: command API, projectors and query API.
    resident_bytes: Option<u64>,
    /// Of the whole database, read models too.
    disk_bytes_per_event: f64,
}

/// Grows a log to so many events, and measures at each power of ten on the way.
pub(super) async fn grow(target: &Target, events: u64, load: &LoadOptions) -> anyhow::Result<Growth> {
    let people = ShopOptions { clients: 1000, merchants: 100, zipf: None };
    let shop = Arc::new(Shop::open(target, &people).await?);
    let payments = Arc::new(Payments(Shop::open(target, &people).await?));
    let mut sizes = Vec::new();
    let mut size = SMALLEST.min(events);
    loop {
        fill(target, &shop, size).await?;
        target.caught_up(CATCH_UP_LIMIT).await?;
        sizes.push(measure(target, &payments, load).await?);
        if size >= events {
            let append_ratio = append_ratio(&sizes);
            return Ok(Growth { sizes, append_ratio });
        }
        size = (size * 10).min(events);
    }
}

async fn measure(target: &Target, payments: &Arc<Payments>, load: &LoadOptions) -> anyhow::Result<Size> {
    let events = target.head().await?;
    let disk_bytes_per_event = disk_bytes(target).await? / f64::from(u32::try_from(events)?);
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
    Ok(Size {
        events,
        payments_per_second: paid.steps_per_second,
        append_ms_mean: paid.service.append_seconds.as_ref().map(|append| append.mean * 1000.0),
        payment: paid.latency.into_values().next().context("nobody has paid")?,
        balances,
        resident_bytes: target.resident_bytes(),
        disk_bytes_per_event,
    })
}

fn append_ratio(sizes: &[Size]) -> Option<f64> {
    let reference = sizes.iter().find(|size| size.events >= REFERENCE)?;
    Some(sizes.last()?.append_ms_mean? / reference.append_ms_mean?)
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
            "{:>11} {:>11} {:>13} {:>12} {:>14} {:>10} {:>12}",
            "events", "payments/s", "append, mean", "payment p99", "balances p99", "memory", "disk/payment"
        )?;
        for size in &self.sizes {
            let append = size.append_ms_mean.map_or("-".to_owned(), |append| format!("{append:.2} ms"));
            let memory = size.resident_bytes.map_or("-".to_owned(), |bytes| format!("{} MiB", bytes >> 20));
            let p99 = |latencies: &Latencies| format!("{:.2} ms", millis(latencies.permille(990)));
            write!(
                f,
                "\n{:>11} {:>11.1} {append:>13} {:>12} {:>14} {memory:>10} {:>8.0} B",
                size.events,
                size.payments_per_second,
                p99(&size.payment),
                p99(&size.balances),
                2.0 * size.disk_bytes_per_event,
            )?;
        }
        if let Some(ratio) = self.append_ratio {
            write!(f, "\nan append at the last size ÷ at {REFERENCE} events: {ratio:.3}")?;
        }
        Ok(())
    }
}
