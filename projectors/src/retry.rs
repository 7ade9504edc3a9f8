//! Tries parked events again and again, so that rows come right by themselves once the cause is gone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use event_store::reader::LogReader;
use metrics::{counter, gauge};
use sqlx::PgPool;

use crate::parked;
use crate::personal::Vault;
use crate::projection::Projection;

/// The first and the longest time between two tries.
const RETRIES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));
/// Trying takes at most one part in so many of the time.
const RETRY_SHARE: u32 = 20;

/// Tries the parked events of all projections, for ever.
pub(crate) async fn run(read: &PgPool, log: &LogReader, vault: &Vault, projections: &[Box<dyn Projection>]) {
    let mut waits: BTreeMap<&'static str, (Instant, Duration)> = BTreeMap::new();
    loop {
        tokio::time::sleep(RETRIES.0).await;
        let Ok(parked) = parked::counts(read).await else { continue };
        for projection in projections {
            let name = projection.name();
            let keys = parked.get(name).copied().unwrap_or(0);
            gauge!("quittance_projection_parked_keys", "projection" => name).set(keys as f64);
            let (due, last) = waits.get(name).copied().unwrap_or((Instant::now(), RETRIES.0));
            if keys > 0 && due <= Instant::now() {
                let started = Instant::now();
                let is_getting_on = retry(read, log, vault, projection.as_ref()).await;
                let wait = if is_getting_on { RETRIES.0 } else { (last * 2).min(RETRIES.1) };
                waits.insert(name, (Instant::now() + wait.max(started.elapsed() * RETRY_SHARE), wait));
            }
        }
    }
}

/// Tries a projection's parked events again; tells whether any keys were freed.
async fn retry(read: &PgPool, log: &LogReader, vault: &Vault, projection: &dyn Projection) -> bool {
    let name = projection.name();
    counter!("quittance_projection_parked_retries_total", "projection" => name).increment(1);
    match parked::retry(read, log, vault, projection, None).await {
        Ok(0) => false,
        Ok(keys) => {
            tracing::info!(projection = name, keys, "parked keys are free again");
            true
        }
        Err(error) => {
            tracing::warn!(projection = name, error = format!("{error:#}"), "parked events wait on");
            false
        }
    }
}
