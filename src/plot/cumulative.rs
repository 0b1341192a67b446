//! Draws the share of requests that had their first token by a given time.

use std::fmt::Write as _;

use super::{
    LEFT, LogAxis, RIGHT, axes, begin, duration, legend, legend_height, mark, rule, style,
};

const TOP: f64 = 84.0;
const BOTTOM: f64 = 440.0;
/// Points of a curve that are closer together are drawn as one.
const NEAR: f64 = 1.2;

/// One curve.
#[derive(Debug)]
pub(crate) struct Curve<'a> {
    pub(crate) name: &'a str,
    /// Index of colour and dash pattern, 0 to 9.
    pub(crate) style: usize,
    /// In seconds, ascending. Infinite values at the end are requests that never had a first token.
    pub(crate) sorted_s: &'a [f64],
    /// Median for the legend; absent if there are no values. `p99_s` also places the dot on the
    /// curve.
    pub(crate) p50_s: Option<f64>,
    pub(crate) p99_s: Option<f64>,
}

/// Draws the share of requests (y) whose time to first token was at most x (logarithmic).
pub(crate) fn cumulative(title: &str, subtitle: &str, curves: &[Curve<'_>]) -> String {
    let ends = curves.iter().flat_map(|curve| {
        let last = curve.sorted_s.iter().rev().find(|value| value.is_finite());
        [curve.sorted_s.first(), last]
    });
    let axis = LogAxis::around(ends.flatten().copied());
    let height = legend_height(curves.len()).max(BOTTOM + 80.0);
    let mut svg = begin(height, title, subtitle);
    draw_grid(&mut svg, axis);
    for curve in curves {
        draw_curve(&mut svg, axis, curve);
    }
    for (row, curve) in curves.iter().enumerate() {
        let value = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), duration);
        let figures = format!("p50 {}, p99 {}", value(curve.p50_s), value(curve.p99_s));
        legend(&mut svg, row, curve.style, curve.name, &figures);
    }
    svg.push_str("</svg>\n");
    svg
}

fn x(axis: LogAxis, seconds: f64) -> f64 {
    LEFT + axis.share(seconds) * (RIGHT - LEFT)
}

fn y(share: f64) -> f64 {
    BOTTOM - share * (BOTTOM - TOP)
}

fn draw_grid(svg: &mut String, axis: LogAxis) {
    for percent in [0_u8, 25, 50, 75, 90] {
        rule(svg, y(f64::from(percent) / 100.0), &format!("{percent}%"));
    }
    // 99 % is too close to 90 % for a label on the same side.
    let at = y(0.99);
    rule(svg, at, "");
    // Writing to a String cannot fail.
    let _ = writeln!(
        svg,
        r##"<text x="{}" y="{:.1}" fill="#555" font-size="12">99%</text>"##,
        RIGHT + 4.0,
        at + 4.0
    );
    for tick in axis.ticks() {
        mark(svg, x(axis, tick), (TOP, BOTTOM), &duration(tick));
    }
    axes(
        svg,
        (TOP, BOTTOM),
        "time to first token (logarithmic)",
        "share of requests at or below",
    );
}

fn draw_curve(svg: &mut String, axis: LogAxis, curve: &Curve<'_>) {
    let (colour, dash) = style(curve.style);
    let count = curve.sorted_s.len();
    let finite = curve.sorted_s.iter().take_while(|value| value.is_finite());
    let ranks = finite.clone().count();
    if ranks == 0 {
        return;
    }
    let _ = write!(
        svg,
        r#"<path fill="none" stroke="{colour}" stroke-width="2.2" stroke-dasharray="{dash}" d=""#
    );
    let mut drawn: Option<(f64, f64)> = None;
    for (rank, seconds) in (1..=ranks).zip(finite) {
        let (x, y) = (x(axis, *seconds), y(rank as f64 / count as f64));
        let near = |(a, b): (f64, f64)| (x - a).abs() < NEAR && (y - b).abs() < NEAR;
        if rank != ranks && drawn.is_some_and(near) {
            continue;
        }
        let command = if drawn.is_none() { 'M' } else { 'L' };
        let _ = write!(svg, "{command}{x:.1} {y:.1}");
        drawn = Some((x, y));
    }
    svg.push_str("\"/>\n");
    if let Some(p99) = curve.p99_s.filter(|value| value.is_finite()) {
        let _ = writeln!(
            svg,
            r#"<circle cx="{:.1}" cy="{:.1}" r="4" fill="{colour}"/>"#,
            x(axis, p99),
            y(0.99)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve<'a>(name: &'a str, sorted_s: &'a [f64]) -> Curve<'a> {
        Curve {
            name,
            style: 0,
            sorted_s,
            p50_s: sorted_s.first().map(|_| 0.5),
            p99_s: sorted_s.first().map(|_| 0.99),
        }
    }

    #[test]
    fn a_curve_passes_through_its_median_and_ends_at_the_top() {
        let values: Vec<f64> = (1..=100).map(|n| f64::from(n) / 100.0).collect();
        let svg = cumulative("t", "s", &[curve("a & b", &values)]);
        let axis = LogAxis::around(values.iter().copied());
        for (seconds, share) in [(0.01, 0.01), (0.5, 0.5), (1.0, 1.0)] {
            let point = format!("{:.1} {:.1}", x(axis, seconds), y(share));
            assert!(svg.contains(&point), "{point} is missing");
        }
        assert!(svg.contains("a &amp; b") && svg.contains("p50 500 ms, p99 990 ms"));
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn a_curve_ends_below_the_top_when_some_never_had_a_first_token() {
        let values = [0.1, 1.0, f64::INFINITY, f64::INFINITY];
        let svg = cumulative("t", "s", &[curve("a", &values)]);
        let end = format!("L{:.1} {:.1}\"", RIGHT, y(0.5));
        assert!(svg.contains(&end), "{end} is missing in {svg}");
    }

    #[test]
    fn many_points_are_drawn_as_few_and_the_last_one_always() {
        let values: Vec<f64> = (1..=100_000).map(|n| f64::from(n) / 1e5).collect();
        let svg = cumulative("t", "s", &[curve("a", &values)]);
        assert!(svg.len() < 30_000, "{}", svg.len());
        assert!(svg.contains(&format!("L{RIGHT:.1} {TOP:.1}\"")));
    }

    #[test]
    fn a_run_without_answers_still_has_a_picture() {
        assert!(cumulative("t", "s", &[curve("a", &[])]).contains("p50 -"));
    }
}
