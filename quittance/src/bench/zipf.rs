//! Who is drawn next: everyone in turn, or the first most often, by Zipf's law.

/// Draws from a number of things, the same ones in the same order in each run.
pub(super) struct Draw {
    /// By rank, the chance that this or an earlier one is drawn; empty where everyone has a turn.
    chances: Vec<f64>,
    count: usize,
}

impl Draw {
    /// Draws from `count` things (at least one), the one of rank k with a chance in proportion to 1/k^`exponent`;
    /// without one, each in its turn.
    pub(super) fn new(count: usize, exponent: Option<f64>) -> Self {
        let Some(exponent) = exponent else { return Self { chances: Vec::new(), count } };
        let mut sum = 0.0;
        let sums: Vec<f64> = (1..=u32::try_from(count).unwrap_or(u32::MAX))
            .map(|rank| {
                sum += f64::from(rank).powf(-exponent);
                sum
            })
            .collect();
        Self { chances: sums.iter().map(|up_to| up_to / sum).collect(), count }
    }

    /// Returns what the n-th draw brings. `stream` tells apart what is drawn independently.
    pub(super) fn nth(&self, n: u64, stream: u64) -> usize {
        if self.chances.is_empty() {
            return usize::try_from(n % self.count as u64).unwrap_or(0);
        }
        let chance = unit(mix(n ^ mix(stream)));
        self.chances.partition_point(|up_to| *up_to <= chance).min(self.count - 1)
    }
}

/// Scatters numbers evenly (SplitMix64's finish).
pub(super) const fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Turns a scattered number into one from 0 to below 1.
#[expect(clippy::cast_precision_loss, reason = "53 bits are what a float holds exactly")]
fn unit(scattered: u64) -> f64 {
    (scattered >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(draw: &Draw, draws: u64) -> Vec<u32> {
        let mut counts = vec![0; draw.count];
        (0..draws).for_each(|n| counts[draw.nth(n, 0)] += 1);
        counts
    }

    #[test]
    fn without_an_exponent_everyone_has_a_turn() {
        assert_eq!(drawn(&Draw::new(7, None), 70), [10; 7]);
    }

    #[test]
    fn the_second_comes_half_as_often_and_the_third_a_third() {
        let counts = drawn(&Draw::new(3, Some(1.0)), 110_000);
        for (count, expected) in counts.iter().zip([60_000_u32, 30_000, 20_000]) {
            assert!(count.abs_diff(expected) < 1_000, "{counts:?}");
        }
    }

    #[test]
    fn exponent_zero_is_even_and_streams_differ() {
        let even = Draw::new(4, Some(0.0));
        assert!(drawn(&even, 40_000).iter().all(|count| count.abs_diff(10_000) < 500));
        assert!((0..100).any(|n| even.nth(n, 1) != even.nth(n, 2)));
    }
}
