//! What a service tells of itself at `/metrics`, and what happened between two looks.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::Serialize;

/// A look: the values of all samples, by name and labels as they stand in the text.
pub(super) struct Look(BTreeMap<String, f64>);

/// What a histogram has collected between two looks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Collected {
    /// How many values.
    pub(super) count: f64,
    /// Their mean.
    pub(super) mean: f64,
    /// The bucket that holds the 99th percentile reaches up to here; `None` where there are no buckets, or it
    /// has no bound.
    pub(super) p99_at_most: Option<f64>,
}

impl Look {
    /// Looks at a service.
    pub(super) async fn at(http: &reqwest::Client, url: &str) -> anyhow::Result<Self> {
        let answer =
            http.get(format!("{url}/metrics")).send().await.and_then(reqwest::Response::error_for_status);
        let text = answer.context("the metrics can't be read")?.text().await?;
        Ok(Self::parse(&text))
    }

    /// Reads Prometheus' text form; what is no sample is left out.
    fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            // A label's value may hold spaces, what follows the labels is the value and maybe a moment.
            let end = line.rfind('}').map_or_else(|| line.find(' '), |brace| Some(brace + 1))?;
            let value = line[end..].split_whitespace().next()?.parse().ok()?;
            Some((line[..end].to_owned(), value))
        });
        Self(samples.collect())
    }

    fn of(&self, sample: &str) -> f64 {
        self.0.get(sample).copied().unwrap_or(0.0)
    }

    /// Tells what a histogram or summary without labels has collected since; `None` if nothing.
    pub(super) fn collected_since(&self, before: &Self, name: &str) -> Option<Collected> {
        let since = |sample: &str| self.of(sample) - before.of(sample);
        let count = since(&format!("{name}_count"));
        if count <= 0.0 {
            return None;
        }
        let begin = format!("{name}_bucket{{le=\"");
        let mut bounds: Vec<(f64, f64)> = self
            .0
            .keys()
            .filter_map(|sample| {
                let bound = sample.strip_prefix(&begin)?.strip_suffix("\"}")?.parse().ok()?;
                Some((bound, since(sample)))
            })
            .collect();
        bounds.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let reached = bounds.iter().find(|(_, up_to)| *up_to >= count * 0.99);
        let p99_at_most = reached.map(|(bound, _)| *bound).filter(|bound| bound.is_finite());
        Some(Collected { count, mean: since(&format!("{name}_sum")) / count, p99_at_most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "# TYPE wait_seconds histogram
wait_seconds_bucket{le=\"0.001\"} 5
wait_seconds_bucket{le=\"0.01\"} 5
wait_seconds_bucket{le=\"+Inf\"} 5
wait_seconds_sum 0.001
wait_seconds_count 5
";
    const AFTER: &str = "wait_seconds_bucket{le=\"0.001\"} 55
wait_seconds_bucket{le=\"0.01\"} 104
wait_seconds_bucket{le=\"+Inf\"} 105
wait_seconds_sum 0.201
wait_seconds_count 105
# what people read
batch_commands{quantile=\"0.5\"} 3
batch_commands_sum 60
batch_commands_count 20
requests_total{path=\"/a b\",status=\"200\"} 7 1700000000
nonsense
";

    #[test]
    fn what_happened_between_two_looks_is_told() {
        let (before, after) = (Look::parse(BEFORE), Look::parse(AFTER));
        let waited = after.collected_since(&before, "wait_seconds").unwrap();
        assert_eq!((waited.count, waited.p99_at_most), (100.0, Some(0.01)));
        assert!((waited.mean - 0.002).abs() < 1e-9, "{waited:?}");
        let batches = after.collected_since(&before, "batch_commands").unwrap();
        assert_eq!(batches, Collected { count: 20.0, mean: 3.0, p99_at_most: None });
        assert_eq!(after.of("requests_total{path=\"/a b\",status=\"200\"}"), 7.0);
        assert_eq!(after.collected_since(&after, "wait_seconds"), None);
    }

    #[test]
    fn a_percentile_beyond_all_bounds_has_none() {
        let look = Look::parse("x_bucket{le=\"1\"} 1\nx_bucket{le=\"+Inf\"} 9\nx_sum 90\nx_count 9\n");
        let collected = look.collected_since(&Look::parse(""), "x").unwrap();
        assert_eq!(collected, Collected { count: 9.0, mean: 10.0, p99_at_most: None });
    }
}
