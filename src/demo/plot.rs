//! The distributions of time to first token as an SVG picture.
//!
//! Written by hand: one picture of three curves needs about forty lines of SVG, and plotting crates measure text with
//! fonts that a bare machine does not have.

use std::fmt::Write;

use super::stats::percentile;

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 520.0;
/// Left, right, top and bottom border of the plotted area.
const AREA: (f64, f64, f64, f64) = (72.0, 850.0, 84.0, 440.0);
/// Colours that also the colour-blind tell apart (Okabe and Ito, 2008), with a dash pattern each for print.
const STYLES: [(&str, &str); 4] = [
    ("#0072B2", ""),
    ("#E69F00", "9 4"),
    ("#CC3311", "3 3"),
    ("#555555", "1 4"),
];

/// One curve: its name and its values in seconds, sorted.
#[derive(Debug)]
pub(crate) struct Curve<'a> {
    pub(crate) name: &'a str,
    pub(crate) sorted_s: &'a [f64],
}

/// The share of requests (y) whose time to first token was at most x (logarithmic).
pub(crate) fn cumulative(title: &str, subtitle: &str, curves: &[Curve<'_>]) -> String {
    let axis = Axis::around(curves);
    let mut svg = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="Helvetica, Arial, sans-serif" font-size="13" fill="#222">
<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>
<text x="{x}" y="34" font-size="19" font-weight="600">{title}</text>
<text x="{x}" y="58" fill="#666">{subtitle}</text>
"##,
        x = AREA.0,
        title = escape(title),
        subtitle = escape(subtitle),
    );
    draw_grid(&mut svg, &axis);
    for (curve, style) in curves.iter().zip(STYLES.iter().cycle()) {
        draw_curve(&mut svg, &axis, curve, *style);
    }
    for (row, (curve, style)) in curves.iter().zip(STYLES.iter().cycle()).enumerate() {
        draw_legend(&mut svg, row as f64, curve, *style);
    }
    svg.push_str("</svg>\n");
    svg
}

/// A logarithmic axis over whole tick marks.
struct Axis {
    min_s: f64,
    max_s: f64,
}

impl Axis {
    fn around(curves: &[Curve<'_>]) -> Self {
        let ends = curves
            .iter()
            .filter_map(|curve| Some((*curve.sorted_s.first()?, *curve.sorted_s.last()?)));
        let (min, max) = ends.fold((f64::INFINITY, 0.0_f64), |(min, max), (a, b)| {
            (min.min(a), max.max(b))
        });
        let min_s = if min.is_finite() {
            min.clamp(1e-4, 1e4)
        } else {
            0.01
        };
        let max_s = max.clamp(min_s * 10.0, 1e5);
        let below = ticks().rev().find(|tick| *tick <= min_s).unwrap_or(min_s);
        let above = ticks().find(|tick| *tick >= max_s).unwrap_or(max_s);
        Self {
            min_s: below,
            max_s: above,
        }
    }

    fn x(&self, seconds: f64) -> f64 {
        let share = (seconds.max(self.min_s) / self.min_s).ln() / (self.max_s / self.min_s).ln();
        AREA.0 + share.clamp(0.0, 1.0) * (AREA.1 - AREA.0)
    }
}

/// 1, 2, 5 per decade, in seconds.
fn ticks() -> impl DoubleEndedIterator<Item = f64> {
    (-4..=5).flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(decade)))
}

fn y(share: f64) -> f64 {
    AREA.3 - share * (AREA.3 - AREA.2)
}

fn draw_grid(svg: &mut String, axis: &Axis) {
    let (left, right, top, bottom) = AREA;
    for percent in [0_u8, 25, 50, 75, 90, 99] {
        let at = y(f64::from(percent) / 100.0);
        // 99 stands a few pixels above 100's place for 90: its own label is at the right side.
        let (x, anchor) = if percent == 99 {
            (right + 4.0, "start")
        } else {
            (left - 8.0, "end")
        };
        let _ = writeln!(
            svg,
            r##"<line x1="{left}" y1="{at:.1}" x2="{right}" y2="{at:.1}" stroke="#e3e3e3"/><text x="{x}" y="{:.1}" text-anchor="{anchor}" fill="#555" font-size="12">{percent}%</text>"##,
            at + 4.0
        );
    }
    for tick in ticks().filter(|tick| (axis.min_s * 0.999..=axis.max_s * 1.001).contains(tick)) {
        let at = axis.x(tick);
        let _ = writeln!(
            svg,
            r##"<line x1="{at:.1}" y1="{top}" x2="{at:.1}" y2="{bottom}" stroke="#eee"/><text x="{at:.1}" y="{:.1}" text-anchor="middle" fill="#555" font-size="12">{}</text>"##,
            bottom + 20.0,
            duration(tick)
        );
    }
    let _ = write!(
        svg,
        r##"<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="#888"/>
<text x="{:.1}" y="{:.1}" text-anchor="middle">time to first token (logarithmic)</text>
<text transform="translate(22 {:.1}) rotate(-90)" text-anchor="middle">share of requests at or below</text>
"##,
        (left + right) / 2.0,
        bottom + 46.0,
        (top + bottom) / 2.0
    );
}

fn draw_curve(svg: &mut String, axis: &Axis, curve: &Curve<'_>, (colour, dash): (&str, &str)) {
    if curve.sorted_s.is_empty() {
        return;
    }
    let count = curve.sorted_s.len();
    // A step per request, but no more than a screen can show.
    let stride = (count / 1_500).max(1);
    let _ = write!(
        svg,
        r#"<path fill="none" stroke="{colour}" stroke-width="2.4" stroke-dasharray="{dash}" d=""#
    );
    for (rank, seconds) in (1..=count)
        .zip(curve.sorted_s)
        .filter(|(rank, _)| rank % stride == 0 || *rank == count || *rank == 1)
    {
        let command = if rank == 1 { 'M' } else { 'L' };
        let _ = write!(
            svg,
            "{command}{:.1} {:.1}",
            axis.x(*seconds),
            y(rank as f64 / count as f64)
        );
    }
    svg.push_str("\"/>\n");
    if let Some(p99) = percentile(curve.sorted_s, 0.99) {
        let _ = writeln!(
            svg,
            r#"<circle cx="{:.1}" cy="{:.1}" r="4.5" fill="{colour}"/>"#,
            axis.x(p99),
            y(0.99)
        );
    }
}

fn draw_legend(svg: &mut String, row: f64, curve: &Curve<'_>, (colour, dash): (&str, &str)) {
    let (x, at) = (AREA.1 - 330.0, AREA.3 - 74.0 + row * 22.0);
    let value = |q| percentile(curve.sorted_s, q).map_or_else(|| "-".to_owned(), duration);
    let _ = writeln!(
        svg,
        r##"<rect x="{}" y="{}" width="338" height="22" fill="#fff"/><line x1="{x}" y1="{at}" x2="{}" y2="{at}" stroke="{colour}" stroke-width="3" stroke-dasharray="{dash}"/><text x="{}" y="{}">{}: p50 {}, p99 {}</text>"##,
        x - 8.0,
        at - 11.0,
        x + 36.0,
        x + 44.0,
        at + 4.5,
        escape(curve.name),
        value(0.5),
        value(0.99)
    );
}

/// Seconds for people: `20 ms`, `1.5 s`.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds < 0.9995 {
        let ms = seconds * 1e3;
        return if ms < 9.95 {
            format!("{} ms", (ms * 10.0).round() / 10.0)
        } else {
            format!("{ms:.0} ms")
        };
    }
    format!("{} s", (seconds * 100.0).round() / 100.0)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_passes_through_its_median_and_ends_at_the_top() {
        let values: Vec<f64> = (1..=100).map(|n| f64::from(n) / 100.0).collect();
        let curve = Curve {
            name: "a & b",
            sorted_s: &values,
        };
        let svg = cumulative("t", "s", &[curve]);
        let axis = Axis {
            min_s: 0.01,
            max_s: 1.0,
        };
        for (seconds, share) in [(0.01, 0.01), (0.5, 0.5), (1.0, 1.0)] {
            let point = format!("{:.1} {:.1}", axis.x(seconds), y(share));
            assert!(svg.contains(&point), "{point} is missing");
        }
        assert!(svg.contains("a &amp; b: p50 500 ms, p99 990 ms"));
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn the_axis_is_logarithmic_and_covers_every_value() {
        let axis = Axis::around(&[Curve {
            name: "a",
            sorted_s: &[0.03, 7.0],
        }]);
        assert_eq!((axis.min_s, axis.max_s), (0.02, 10.0));
        let decade = axis.x(0.2) - axis.x(0.02);
        assert!((axis.x(2.0) - axis.x(0.2) - decade).abs() < 1e-6);
    }

    #[test]
    fn a_run_without_answers_still_has_a_picture() {
        assert!(
            cumulative(
                "t",
                "s",
                &[Curve {
                    name: "a",
                    sorted_s: &[]
                }]
            )
            .contains("p50 -")
        );
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(
            [0.0005, 0.02, 0.25, 1.0, 12.345].map(duration),
            ["0.5 ms", "20 ms", "250 ms", "1 s", "12.35 s"]
        );
    }
}
