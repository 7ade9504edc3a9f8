//! How old read models are while a system works.
//!
//! A task looks at all checkpoints again and again, with the database's time of each look. Afterwards that
//! is held against the moments of the events: a model's age at a look is that of the oldest event that it
//! lacked then; an event's way into a model's rows ends with the first look that found it there.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use event_store::reader::LogReader;
use sqlx::PgPool;
use sqlx::types::chrono::{DateTime, Utc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::quantiles::Quantiles;

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How many events are read at once.
const EVENTS_AT_ONCE: u32 = 10_000;

/// One look: the database's time in microseconds, and where each model stood.
type Look = (i64, BTreeMap<String, u64>);

/// Looks at all read models until it is ended.
pub(super) struct Ages {
    token: CancellationToken,
    looking: JoinHandle<Result<Vec<Look>, sqlx::Error>>,
}

/// What was found of one read model.
pub(super) struct Age {
    /// How old it was at the looks.
    pub(super) age: Quantiles,
    /// How long events took until its rows showed them.
    pub(super) delay: Quantiles,
}

impl Ages {
    pub(super) fn begin(read: PgPool) -> Self {
        let token = CancellationToken::new();
        let looking = tokio::spawn(look(read, token.clone()));
        Self { token, looking }
    }

    /// Stops looking; returns what was found about the events behind a position, by model.
    pub(super) async fn end(self, log: &LogReader, after: u64) -> anyhow::Result<BTreeMap<String, Age>> {
        self.token.cancel();
        let looks = self.looking.await??;
        let recorded = recorded_behind(log, after).await?;
        let names = looks.first().context("there was no time to look")?.1.keys();
        Ok(names.map(|name| (name.clone(), age(name, &looks, &recorded, after))).collect())
    }
}

async fn look(read: PgPool, token: CancellationToken) -> Result<Vec<Look>, sqlx::Error> {
    let mut looks = Vec::new();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !token.is_cancelled() {
        ticks.tick().await;
        let rows: Vec<(DateTime<Utc>, String, i64)> =
            sqlx::query_as("SELECT clock_timestamp(), name, position FROM projections WHERE active")
                .fetch_all(&read)
                .await?;
        if let Some(now) = rows.iter().map(|(now, ..)| now.timestamp_micros()).min() {
            let places = rows.into_iter().map(|(_, name, position)| (name, position.unsigned_abs()));
            looks.push((now, places.collect()));
        }
    }
    Ok(looks)
}

/// Reads the moments of all events behind a position, in microseconds.
async fn recorded_behind(log: &LogReader, after: u64) -> anyhow::Result<Vec<i64>> {
    let mut recorded = Vec::new();
    loop {
        let entries = log.range(after + recorded.len() as u64, EVENTS_AT_ONCE).await?;
        if entries.is_empty() {
            return Ok(recorded);
        }
        for entry in entries {
            recorded.push(entry.envelope()?.recorded_at.micros());
        }
    }
}

fn age(name: &str, looks: &[Look], recorded: &[i64], after: u64) -> Age {
    let (mut ages, mut delays) = (Vec::new(), Vec::new());
    let mut seen = 0;
    for (now, places) in looks {
        let applied = places.get(name).map_or(0, |position| position.saturating_sub(after));
        let applied = usize::try_from(applied).unwrap_or(usize::MAX).min(recorded.len());
        let since = |moment: &i64| Duration::from_micros((now - moment).max(0).unsigned_abs());
        ages.push(recorded.get(applied).map_or(Duration::ZERO, since));
        delays.extend(recorded[seen.min(applied)..applied].iter().map(since));
        seen = seen.max(applied);
    }
    Age { age: Quantiles::of(ages), delay: Quantiles::of(delays) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_delays_follow_from_looks_and_moments() {
        let look = |now, position| (now, BTreeMap::from([("x".to_owned(), position)]));
        // Events 11, 12 and 13, at 0, 1 and 2 ms.
        let recorded = [0, 1_000, 2_000];
        let found = age("x", &[look(1_500, 10), look(3_000, 12), look(9_000, 13)], &recorded, 10);
        let millis = |quantiles| Quantiles::to_string(&quantiles);
        // 1.5 ms old, then 1 ms, then up to date.
        assert_eq!(found.age, Quantiles::of([1_500, 1_000, 0].map(Duration::from_micros).to_vec()));
        assert_eq!(found.delay, Quantiles::of([3_000, 2_000, 7_000].map(Duration::from_micros).to_vec()));
        assert!(millis(found.delay).contains("3.0 ms"));
    }
}
