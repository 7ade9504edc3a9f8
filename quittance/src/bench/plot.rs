//! A picture of a load over time: throughput, latency and lag, as SVG.

use std::fmt::Write;

use super::measured::PerSecond;

const WIDTH: f64 = 900.0;
/// How high a panel is, and its title above it.
const PANEL: f64 = 160.0;
const TITLE: f64 = 30.0;
const MARGIN: f64 = 70.0;

/// A line of a panel: its colour, its name, and a value for each second.
struct Line {
    colour: &'static str,
    name: &'static str,
    values: Vec<f64>,
}

/// Draws the seconds of a load.
pub(super) fn draw(title: &str, seconds: &[PerSecond]) -> String {
    let line = |colour, name, value: fn(&PerSecond) -> f64| Line {
        colour,
        name,
        values: seconds.iter().map(value).collect(),
    };
    let panels = [
        ("commands/s", vec![line("#1f77b4", "answered", |second| second.commands)]),
        (
            "latency, ms",
            vec![
                line("#d62728", "p99", |second| second.p99_ms),
                line("#2ca02c", "p50", |second| second.p50_ms),
            ],
        ),
        (
            "lag, events",
            vec![line("#9467bd", "of the read model furthest behind", |second| second.lag_events)],
        ),
    ];
    let height = TITLE + f64::from(3) * (PANEL + TITLE) + TITLE;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{MARGIN}\" y=\"20\" font-size=\"14\">{title}</text>\n"
    );
    let mut top = TITLE;
    for (unit, lines) in panels {
        draw_panel(&mut svg, top + TITLE, unit, &lines);
        top += PANEL + TITLE;
    }
    let last = seconds.len().saturating_sub(1);
    let _ = writeln!(svg, "<text x=\"{MARGIN}\" y=\"{:.1}\">0 s</text>", top + 16.0);
    let right = WIDTH - MARGIN;
    let _ = writeln!(svg, "<text x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\">{last} s</text>", top + 16.0);
    svg + "</svg>\n"
}

fn draw_panel(svg: &mut String, top: f64, unit: &str, lines: &[Line]) {
    let values = lines.iter().flat_map(|line| &line.values).copied();
    let most = round_up(values.fold(0.0, f64::max));
    let (bottom, right, label) = (top + PANEL - TITLE, WIDTH - MARGIN, MARGIN - 8.0);
    let mut legend = format!("<text x=\"{MARGIN}\" y=\"{:.1}\">{unit}", top - 8.0);
    for Line { colour, name, .. } in lines {
        let _ = write!(legend, " <tspan fill=\"{colour}\">— {name}</tspan>");
    }
    let _ = writeln!(svg, "{legend}</text>");
    for (y, value) in [(bottom, 0.0), (top, most)] {
        let _ = writeln!(svg, "<path d=\"M{MARGIN} {y:.1}H{right}\" stroke=\"#ccc\"/>");
        let _ = writeln!(svg, "<text x=\"{label}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>", y + 4.0);
    }
    for Line { colour, values, .. } in lines {
        let points = points(values, most, (MARGIN, right), (bottom, top));
        let _ = writeln!(
            svg,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"
        );
    }
}

/// Places values from left to right, and from zero at the bottom to `most` at the top.
fn points(values: &[f64], most: f64, (left, right): (f64, f64), (bottom, top): (f64, f64)) -> String {
    let steps = f64::from(u32::try_from(values.len().saturating_sub(1)).unwrap_or(u32::MAX)).max(1.0);
    let places = (0_u32..).zip(values).map(|(index, value)| {
        let x = left + (right - left) * f64::from(index) / steps;
        let y = bottom - (bottom - top) * value / most;
        format!("{x:.1},{y:.1}")
    });
    places.collect::<Vec<_>>().join(" ")
}

/// Rounds up to 1, 2 or 5 times a power of ten, so that an axis ends with a number that reads well.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|step| step * power).find(|bound| *bound >= value).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_with_round_numbers() {
        let rounded = [0.0, 0.3, 1.0, 1.1, 4.9, 5.1, 730.0, 1200.0].map(round_up);
        let expected = [1.0, 0.5, 1.0, 2.0, 5.0, 10.0, 1000.0, 2000.0];
        assert!(rounded.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-9), "{rounded:?}");
    }

    #[test]
    fn values_are_placed_between_the_edges() {
        let placed = points(&[0.0, 5.0, 10.0], 10.0, (100.0, 300.0), (200.0, 0.0));
        assert_eq!(placed, "100.0,200.0 200.0,100.0 300.0,0.0");
        assert_eq!(points(&[5.0], 10.0, (100.0, 300.0), (200.0, 0.0)), "100.0,100.0");
    }

    #[test]
    fn a_plot_has_a_line_for_each_quantity() {
        let second = PerSecond { commands: 1000.0, p50_ms: 1.0, p99_ms: 9.0, lag_events: 3.0 };
        let svg = draw("payments", &[second.clone(), second]);
        assert_eq!(svg.matches("<polyline").count(), 4);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && svg.contains(">1000</text>"));
    }
}
