//! A yardstick and what is measured by it, in turn: what the machine does meanwhile meets both.

use std::fmt;

use serde::Serialize;

/// Both figures of each round.
#[derive(Serialize)]
pub(super) struct Rounds {
    /// What is measured, and the unit of both figures.
    ours: String,
    yardstick: String,
    rounds: Vec<Round>,
    median_ours: f64,
    median_yardstick: f64,
    /// The median of the rounds' own ratios.
    ratio: f64,
}

#[derive(Serialize)]
struct Round {
    yardstick: f64,
    ours: f64,
    ratio: f64,
}

impl Rounds {
    /// Puts the figures of rounds together: the yardstick's first, then ours.
    pub(super) fn of(ours: &str, yardstick: &str, figures: &[(f64, f64)]) -> Self {
        let rounds: Vec<Round> = figures
            .iter()
            .map(|&(yardstick, ours)| Round { yardstick, ours, ratio: ours / yardstick })
            .collect();
        Self {
            ours: ours.to_owned(),
            yardstick: yardstick.to_owned(),
            median_ours: median(rounds.iter().map(|round| round.ours)),
            median_yardstick: median(rounds.iter().map(|round| round.yardstick)),
            ratio: median(rounds.iter().map(|round| round.ratio)),
            rounds,
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => values[count / 2 - 1].midpoint(values[count / 2]),
    }
}

impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ours, yardstick, rounds, median_ours, median_yardstick, ratio } = self;
        writeln!(f, "{ours} ÷ {yardstick}, in turn")?;
        for (number, Round { yardstick, ours, ratio }) in (1..).zip(rounds) {
            writeln!(f, "  round {number:<3} {ours:>12.1} ÷ {yardstick:>12.1} = {ratio:.3}")?;
        }
        write!(f, "  median    {median_ours:>12.1} ÷ {median_yardstick:>12.1}   ratio {ratio:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_the_median_of_the_rounds() {
        let rounds = Rounds::of("a/s", "b/s", &[(100.0, 50.0), (200.0, 180.0), (100.0, 60.0)]);
        let found = [rounds.ratio, rounds.median_ours, rounds.median_yardstick];
        assert_eq!(found.map(|figure| format!("{figure:.2}")), ["0.60", "60.00", "100.00"]);
        let text = rounds.to_string();
        assert!(text.contains("a/s ÷ b/s") && text.ends_with("ratio 0.600"), "{text}");
    }

    #[test]
    fn a_median_of_two_is_between_them() {
        assert_eq!(median([4.0, 1.0].into_iter()).to_string(), "2.5");
        assert_eq!(median(std::iter::empty()).to_string(), "0");
    }
}
