//! How old read models are while a system works.
//!
//! A task looks at all checkpoints again and again, with the database's time of each look. Afterwards that
//! is held against the moments of the events: a model's age at a look is that of the oldest event that it
//! lacked then; an event's way into a model's rows ends with the first look that found it there.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use serde::Serialize;
use sqlx::PgPool;
use sqlx::types::chrono::{DateTime, Utc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::latency::Latencies;

/// One look: when it was, also by the database in microseconds, and where each model stood.
type Look = (Instant, i64, BTreeMap<String, u64>);

/// Looks at all read models until it is ended.
pub(super) struct Ages {
    token: CancellationToken,
    looking: JoinHandle<Result<Vec<Look>, sqlx::Error>>,
}

/// What was found of one read model.
#[derive(Clone, Serialize)]
pub(super) struct Age {
    /// How old it was at the looks.
    pub(super) age: Latencies,
    /// How long events took until its rows showed them.
    pub(super) delay: Latencies,
}

/// What was found of all of them.
#[derive(Clone, Default)]
pub(super) struct Found {
    pub(super) models: BTreeMap<String, Age>,
    /// By second, how many events the one that was furthest behind lacked at most.
    pub(super) lag_events: Vec<u64>,
}

impl Ages {
    /// Begins to look, as often as is said.
    pub(super) fn begin(read: PgPool, every: Duration) -> Self {
        let token = CancellationToken::new();
        let looking = tokio::spawn(look(read, every, token.clone()));
        Self { token, looking }
    }

    /// Stops looking; returns what was found in a window about the events behind a position.
    pub(super) async fn end(
        self,
        log: &PgPool,
        after: u64,
        (begin, end): (Instant, Instant),
    ) -> anyhow::Result<Found> {
        self.token.cancel();
        let mut looks = self.looking.await??;
        looks.retain(|(at, ..)| (begin..end).contains(at));
        let recorded = recorded_behind(log, after).await?;
        let Some((.., places)) = looks.first() else { return Ok(Found::default()) };
        let models = places.keys().map(|name| (name.clone(), age(name, &looks, &recorded, after))).collect();
        Ok(Found { models, lag_events: lags(&looks, &recorded, after, begin) })
    }
}

async fn look(read: PgPool, every: Duration, token: CancellationToken) -> Result<Vec<Look>, sqlx::Error> {
    let mut looks = Vec::new();
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !token.is_cancelled() {
        ticks.tick().await;
        let rows: Vec<(DateTime<Utc>, String, i64)> =
            sqlx::query_as("SELECT clock_timestamp(), name, position FROM projections WHERE active")
                .fetch_all(&read)
                .await?;
        if let Some(now) = rows.iter().map(|(now, ..)| now.timestamp_micros()).min() {
            let places = rows.into_iter().map(|(_, name, position)| (name, position.unsigned_abs()));
            looks.push((Instant::now(), now, places.collect()));
        }
    }
    Ok(looks)
}

/// Reads the moments of all events behind a position, in microseconds.
async fn recorded_behind(log: &PgPool, after: u64) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar::<_, DateTime<Utc>>(
        "SELECT recorded_at FROM events WHERE position > $1 ORDER BY position",
    )
    .bind(after.cast_signed())
    .fetch(log)
    .map_ok(|moment| moment.timestamp_micros())
    .try_collect()
    .await
}

/// Tells how many of the events behind a position a model has applied.
fn applied(places: &BTreeMap<String, u64>, name: &str, recorded: &[i64], after: u64) -> usize {
    let applied = places.get(name).map_or(0, |position| position.saturating_sub(after));
    usize::try_from(applied).unwrap_or(usize::MAX).min(recorded.len())
}

fn age(name: &str, looks: &[Look], recorded: &[i64], after: u64) -> Age {
    let mut found = Age { age: Latencies::new(), delay: Latencies::new() };
    let mut seen = looks.first().map_or(0, |(.., places)| applied(places, name, recorded, after));
    for (_, now, places) in looks {
        let applied = applied(places, name, recorded, after);
        let since = |moment: &i64| Duration::from_micros((now - moment).max(0).unsigned_abs());
        found.age.note(recorded.get(applied).map_or(Duration::ZERO, since));
        found.delay.extend(recorded[seen.min(applied)..applied].iter().map(since));
        seen = seen.max(applied);
    }
    found
}

fn lags(looks: &[Look], recorded: &[i64], after: u64, begin: Instant) -> Vec<u64> {
    let mut lags = Vec::new();
    for (at, now, places) in looks {
        let head = recorded.partition_point(|moment| moment <= now);
        let behind = places.keys().map(|name| applied(places, name, recorded, after)).min().unwrap_or(head);
        let second = usize::try_from((*at - begin).as_secs()).unwrap_or(usize::MAX);
        lags.resize(lags.len().max(second + 1), 0);
        lags[second] = lags[second].max(head.saturating_sub(behind) as u64);
    }
    lags
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events 11, 12 and 13, at 0, 1 and 2 ms.
    const RECORDED: [i64; 3] = [0, 1_000, 2_000];

    fn looks(begin: Instant) -> Vec<Look> {
        [(0, 0, 10), (0, 1_500, 10), (900, 3_000, 12), (1_100, 9_000, 13)]
            .map(|(millis, now, position)| {
                let at = begin + Duration::from_millis(millis);
                (at, now, BTreeMap::from([("x".to_owned(), position)]))
            })
            .to_vec()
    }

    #[test]
    fn ages_and_delays_follow_from_looks_and_moments() {
        let found = age("x", &looks(Instant::now()), &RECORDED, 10);
        let tens_of_micros = |latencies: &Latencies| {
            [250, 500, 750, 1000].map(|permille| latencies.permille(permille).as_micros() / 10)
        };
        // 0, then 1.5 ms old, then 1 ms, then up to date.
        assert_eq!(tens_of_micros(&found.age), [0, 0, 100, 150]);
        // 3.0, 2.0 and 7.0 ms.
        assert_eq!(tens_of_micros(&found.delay), [200, 300, 700, 700]);
        assert_eq!(found.delay.count(), 3);
    }

    #[test]
    fn lags_are_the_worst_of_each_second() {
        let begin = Instant::now();
        assert_eq!(lags(&looks(begin), &RECORDED, 10, begin), [2, 0]);
    }
}
