//! Latencies: every one is kept, to three digits.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

/// The longest latency that is told apart from longer ones.
const LONGEST: Duration = Duration::from_secs(3600);

/// A collection of durations, in microseconds.
#[derive(Clone, Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    /// What stands above a line of them.
    pub(super) const HEADER: &'static str = "       p50        p95        p99      p99.9        max";

    #[expect(clippy::expect_used, reason = "the bounds are constants that suit")]
    pub(super) fn new() -> Self {
        let micros = u64::try_from(LONGEST.as_micros()).unwrap_or(u64::MAX);
        Self(Histogram::new_with_max(micros, 3).expect("an hour in microseconds, to three digits"))
    }

    pub(super) fn note(&mut self, duration: Duration) {
        self.0.saturating_record(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Adds others.
    pub(super) fn add(&mut self, others: &Self) {
        for value in others.0.iter_recorded() {
            self.0.saturating_record_n(value.value_iterated_to(), value.count_at_value());
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// What so many of a thousand are not above; zero if there are none.
    pub(super) fn permille(&self, permille: u32) -> Duration {
        if self.0.is_empty() {
            return Duration::ZERO;
        }
        Duration::from_micros(self.0.value_at_quantile(f64::from(permille) / 1000.0))
    }

    fn columns(&self) -> [Duration; 5] {
        [500, 950, 990, 999, 1000].map(|permille| self.permille(permille))
    }
}

impl Extend<Duration> for Latencies {
    fn extend<I: IntoIterator<Item = Duration>>(&mut self, durations: I) {
        durations.into_iter().for_each(|duration| self.note(duration));
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for duration in self.columns() {
            write!(f, "{:>8.2}ms ", millis(duration))?;
        }
        Ok(())
    }
}

impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [p50, p95, p99, p999, max] = self.columns().map(millis);
        let mut fields = serializer.serialize_struct("Latencies", 6)?;
        fields.serialize_field("count", &self.count())?;
        fields.serialize_field("p50_ms", &p50)?;
        fields.serialize_field("p95_ms", &p95)?;
        fields.serialize_field("p99_ms", &p99)?;
        fields.serialize_field("p99_9_ms", &p999)?;
        fields.serialize_field("max_ms", &max)?;
        fields.end()
    }
}

/// Tells a duration in milliseconds.
pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_nearest_rank_to_three_digits() {
        let mut latencies = Latencies::new();
        latencies.extend((1..=200).rev().map(Duration::from_millis));
        let found = [500, 950, 990, 1000].map(|permille| latencies.permille(permille).as_millis());
        assert_eq!((found, latencies.count()), ([100, 190, 198, 200], 200));
    }

    #[test]
    fn those_of_two_are_those_of_both() {
        let (mut one, mut other) = (Latencies::new(), Latencies::new());
        one.extend([1, 2, 3].map(Duration::from_millis));
        other.extend([10, 10, 10].map(Duration::from_millis));
        one.add(&other);
        let found = [500, 1000].map(|permille| one.permille(permille).as_millis());
        assert_eq!((found, one.count()), ([3, 10], 6));
    }

    #[test]
    fn of_nothing_they_are_zero_and_beyond_an_hour_they_are_an_hour() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.permille(990), Duration::ZERO);
        latencies.note(Duration::from_secs(100_000));
        assert!(latencies.permille(1000).abs_diff(LONGEST) < Duration::from_secs(4));
    }
}
