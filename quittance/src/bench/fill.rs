//! Fills a log with payments, as fast as the contract lets it: through bulk requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{bail, ensure};
use hyper::StatusCode;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;

use super::bulk::count;
use super::connection::Connection;
use super::shop::Shop;
use super::target::Target;

/// How many payments a request has.
const PAYMENTS: u64 = 500;
/// How many requests are under way at once: one is decided while the next is read.
const CONNECTIONS: usize = 3;
/// How many events a payment is.
const EVENTS: u64 = 2;

/// Makes payments until the log has so many events; returns how many payments that took.
pub(super) async fn fill(target: &Target, shop: &Arc<Shop>, events: u64) -> anyhow::Result<u64> {
    let head = target.head().await?;
    let requests = events.saturating_sub(head).div_ceil(EVENTS * PAYMENTS);
    let style =
        ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} payments, {per_sec}, {eta}")?;
    let bar = ProgressBar::new(requests * PAYMENTS).with_style(style);
    let next = Arc::new(AtomicU64::new(0));
    let mut senders: JoinSet<anyhow::Result<()>> = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (shop, next, bar) = (Arc::clone(shop), Arc::clone(&next), bar.clone());
        let mut connection = Connection::open(&target.credentials.command_url).await?;
        senders.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= requests {
                    return Ok(());
                }
                pay(&mut connection, &shop, number).await?;
                bar.inc(PAYMENTS);
            }
        });
    }
    while let Some(ended) = senders.join_next().await {
        ended??;
    }
    bar.finish_and_clear();
    Ok(requests * PAYMENTS)
}

async fn pay(connection: &mut Connection, shop: &Shop, number: u64) -> anyhow::Result<()> {
    let sent = shop.bulk(number, PAYMENTS);
    loop {
        let (status, body) = connection.send(&sent).await?;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        if status != StatusCode::OK {
            bail!("a bulk request was answered with {status}");
        }
        let captured = count(&body, b"\"status\":\"captured\"");
        if captured == PAYMENTS {
            return Ok(());
        }
        // Items can find the queue full alone; sent again, the others are replays.
        let unavailable = count(&body, b"\"status\":503");
        ensure!(captured + unavailable == PAYMENTS, "of {PAYMENTS} payments {captured} were captured");
    }
}
