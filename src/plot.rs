//! Draws results as SVG.
//!
//! The SVG is written by hand. A picture of some curves needs about a hundred lines of SVG.
//! Rejected: plotting crates. They measure text with fonts that a bare machine does not have.

mod cumulative;
mod sweep;

use std::fmt::Write as _;

pub(crate) use cumulative::{Curve, cumulative};
pub(crate) use sweep::{Line, Point, sweep};

const WIDTH: f64 = 1_120.0;
/// Left and right border of the plotted area. The legend is to the right of it.
const LEFT: f64 = 72.0;
const RIGHT: f64 = 760.0;
/// Colours that colour-blind people can tell apart (Okabe and Ito, 2008, and three more). Each has
/// its own dash pattern for print.
const STYLES: [(&str, &str); 10] = [
    ("#0072B2", ""),
    ("#E69F00", "9 4"),
    ("#CC3311", "3 3"),
    ("#555555", "1 4"),
    ("#009E73", "12 3 3 3"),
    ("#56B4E9", "6 2"),
    ("#CC79A7", "2 2 8 2"),
    ("#000000", "5 5"),
    ("#8B5A2B", "14 5"),
    ("#999933", "3 6"),
];

fn style(index: usize) -> (&'static str, &'static str) {
    STYLES
        .get(index % STYLES.len())
        .copied()
        .unwrap_or_default()
}

/// Returns the beginning of a picture: size, title and subtitle.
fn begin(height: f64, title: &str, subtitle: &str) -> String {
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="Helvetica, Arial, sans-serif" font-size="13" fill="#222">
<rect width="{WIDTH}" height="{height}" fill="#fff"/>
<text x="{LEFT}" y="34" font-size="19" font-weight="600">{title}</text>
<text x="{LEFT}" y="58" fill="#666">{subtitle}</text>
"##,
        title = escape(title),
        subtitle = escape(subtitle),
    )
}

/// Draws a row of the legend: the style, and two lines of text.
fn legend(svg: &mut String, row: usize, index: usize, name: &str, figures: &str) {
    let (colour, dash) = style(index);
    let (x, y) = (RIGHT + 52.0, 100.0 + row as f64 * 42.0);
    // Writing to a String cannot fail.
    let _ = writeln!(
        svg,
        r##"<line x1="{x}" y1="{y}" x2="{}" y2="{y}" stroke="{colour}" stroke-width="3" stroke-dasharray="{dash}"/><text x="{tx}" y="{}">{}</text><text x="{tx}" y="{}" fill="#666" font-size="12">{}</text>"##,
        x + 36.0,
        y + 4.5,
        escape(name),
        y + 20.0,
        escape(figures),
        tx = x + 46.0,
    );
}

/// Returns the height that a legend of `rows` rows needs.
fn legend_height(rows: usize) -> f64 {
    110.0 + rows as f64 * 42.0
}

/// Draws a horizontal line across the plotted area, with its label to the left.
fn rule(svg: &mut String, y: f64, label: &str) {
    let _ = writeln!(
        svg,
        r##"<line x1="{LEFT}" y1="{y:.1}" x2="{RIGHT}" y2="{y:.1}" stroke="#e3e3e3"/><text x="{}" y="{:.1}" text-anchor="end" fill="#555" font-size="12">{label}</text>"##,
        LEFT - 8.0,
        y + 4.0
    );
}

/// Draws a vertical line from `top` to `bottom`, with its label below.
fn mark(svg: &mut String, x: f64, (top, bottom): (f64, f64), label: &str) {
    let _ = writeln!(
        svg,
        r##"<line x1="{x:.1}" y1="{top}" x2="{x:.1}" y2="{bottom}" stroke="#eee"/><text x="{x:.1}" y="{:.1}" text-anchor="middle" fill="#555" font-size="12">{label}</text>"##,
        bottom + 20.0
    );
}

/// Draws the two axes of an area with their names.
fn axes(svg: &mut String, (top, bottom): (f64, f64), horizontal: &str, vertical: &str) {
    let _ = write!(
        svg,
        r##"<path d="M{LEFT} {top}V{bottom}H{RIGHT}" fill="none" stroke="#888"/>
<text x="{:.1}" y="{:.1}" text-anchor="middle">{horizontal}</text>
<text transform="translate(22 {:.1}) rotate(-90)" text-anchor="middle">{vertical}</text>
"##,
        (LEFT + RIGHT) / 2.0,
        bottom + 44.0,
        (top + bottom) / 2.0
    );
}

/// A logarithmic axis that begins and ends at tick marks, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct LogAxis {
    min_s: f64,
    max_s: f64,
}

impl LogAxis {
    /// Returns an axis that covers every finite value, and at least one decade.
    fn around(values: impl Iterator<Item = f64>) -> Self {
        let finite = values.filter(|value| value.is_finite());
        let (min, max) = finite.fold((f64::INFINITY, 0.0_f64), |(min, max), value| {
            (min.min(value), max.max(value))
        });
        let min_s = if min.is_finite() {
            min.clamp(1e-4, 1e4)
        } else {
            0.01
        };
        let max_s = max.clamp(min_s * 10.0, 1e5);
        Self {
            min_s: ticks().rev().find(|tick| *tick <= min_s).unwrap_or(min_s),
            max_s: ticks().find(|tick| *tick >= max_s).unwrap_or(max_s),
        }
    }

    /// Returns the position of a value on the axis, 0 to 1.
    fn share(&self, seconds: f64) -> f64 {
        let share = (seconds.max(self.min_s) / self.min_s).ln() / (self.max_s / self.min_s).ln();
        share.clamp(0.0, 1.0)
    }

    fn ticks(self) -> impl Iterator<Item = f64> {
        ticks().filter(move |tick| (self.min_s * 0.999..=self.max_s * 1.001).contains(tick))
    }
}

/// Returns all tick marks in seconds: 1, 2 and 5 in each decade.
fn ticks() -> impl DoubleEndedIterator<Item = f64> {
    (-4..=5).flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(decade)))
}

/// Formats a duration for people: `20 ms`, `1.5 s`, or `never` if it is infinite.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds.is_infinite() {
        return "never".to_owned();
    }
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
    fn the_axis_is_logarithmic_and_covers_every_finite_value() {
        let axis = LogAxis::around([0.03, f64::INFINITY, 7.0].into_iter());
        assert_eq!((axis.min_s, axis.max_s), (0.02, 10.0));
        let decade = axis.share(0.2) - axis.share(0.02);
        assert!((axis.share(2.0) - axis.share(0.2) - decade).abs() < 1e-9);
        assert_eq!((axis.share(0.0), axis.share(1e9)), (0.0, 1.0));
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(
            [0.0005, 0.02, 0.25, 1.0, 12.345, f64::INFINITY].map(duration),
            ["0.5 ms", "20 ms", "250 ms", "1 s", "12.35 s", "never"]
        );
    }
}
