//! What half, nearly all and all of some durations stay below.

use std::fmt;
use std::time::Duration;

/// The quantiles of durations.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Quantiles {
    half: Duration,
    most: Duration,
    nearly_all: Duration,
    all: Duration,
}

impl Quantiles {
    /// What stands above a line of them.
    pub(super) const HEADER: &'static str = "      p50       p95       p99       max";

    /// Computes them, by nearest rank.
    pub(super) fn of(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        let at = |percent: usize| {
            let rank = (durations.len() * percent).div_ceil(100).max(1);
            durations.get(rank - 1).copied().unwrap_or_default()
        };
        Self { half: at(50), most: at(95), nearly_all: at(99), all: at(100) }
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for duration in [self.half, self.most, self.nearly_all, self.all] {
            let micros = duration.as_micros();
            write!(f, "{:>5}.{} ms", micros / 1000, micros % 1000 / 100)?;
            f.write_str(" ")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_of_the_nearest_rank() {
        let durations = (1..=200).rev().map(Duration::from_millis).collect();
        let quantiles = Quantiles::of(durations);
        let millis = [quantiles.half, quantiles.most, quantiles.nearly_all, quantiles.all];
        assert_eq!(millis.map(|duration| duration.as_millis()), [100, 190, 198, 200]);
        assert_eq!(Quantiles::of(Vec::new()), Quantiles::default());
        assert_eq!(Quantiles::of(vec![Duration::from_millis(3)]).nearly_all, Duration::from_millis(3));
    }
}
