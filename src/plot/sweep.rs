//! Draws results over the load: share in SLO, and p99 of the time to first token.

use std::fmt::Write as _;

use super::{
    LEFT, LogAxis, RIGHT, axes, begin, duration, legend, legend_height, mark, rule, style,
};

/// Top and bottom of the two plotted areas.
const SHARES: (f64, f64) = (84.0, 300.0);
const TIMES: (f64, f64) = (372.0, 588.0);

/// The results of one rule over its loads, ascending.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    /// Index of colour and dash pattern, 0 to 9.
    pub(crate) style: usize,
    pub(crate) points: Vec<Point>,
}

/// The results of a rule at one load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub(crate) load: f64,
    /// Share of requests in SLO, 0 to 1.
    pub(crate) slo_share: f64,
    /// In seconds. Infinite if more than one request in a hundred never had a first token. The line
    /// then ends at the top of the area.
    pub(crate) p99_s: f64,
}

/// The axes of loads and of times.
struct Axes {
    /// All loads, ascending.
    loads: Vec<f64>,
    times: LogAxis,
}

impl Axes {
    fn around(lines: &[Line<'_>]) -> Self {
        let points = || lines.iter().flat_map(|line| &line.points);
        let mut loads: Vec<f64> = points().map(|point| point.load).collect();
        loads.sort_unstable_by(f64::total_cmp);
        loads.dedup();
        Self {
            loads,
            times: LogAxis::around(points().map(|point| point.p99_s)),
        }
    }

    fn x(&self, load: f64) -> f64 {
        let least = self.loads.first().copied().unwrap_or(0.0);
        let span = self.loads.last().copied().unwrap_or(1.0) - least;
        LEFT + 12.0 + (load - least) / span.max(1e-6) * (RIGHT - LEFT - 24.0)
    }

    fn share(&self, point: &Point) -> (f64, f64) {
        (self.x(point.load), height_of(SHARES, point.slo_share))
    }

    fn time(&self, point: &Point) -> (f64, f64) {
        let y = height_of(TIMES, self.times.share(point.p99_s));
        (self.x(point.load), y)
    }
}

/// Draws the share of requests in SLO and the p99 of their time to first token (logarithmic) over
/// the load.
pub(crate) fn sweep(title: &str, subtitle: &str, lines: &[Line<'_>]) -> String {
    let axes = Axes::around(lines);
    let height = legend_height(lines.len()).max(TIMES.1 + 70.0);
    let mut svg = begin(height, title, subtitle);
    draw_grid(&mut svg, &axes);
    for line in lines {
        draw_line(&mut svg, line, |point| axes.share(point));
        draw_line(&mut svg, line, |point| axes.time(point));
    }
    for (row, line) in lines.iter().enumerate() {
        let figures = line.points.last().map_or_else(String::new, |point| {
            format!(
                "at {:.0} %: {:.0} % in SLO, p99 {}",
                point.load * 100.0,
                point.slo_share * 100.0,
                duration(point.p99_s)
            )
        });
        legend(&mut svg, row, line.style, line.name, &figures);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_grid(svg: &mut String, places: &Axes) {
    for percent in [0_u8, 25, 50, 75, 90, 100] {
        let y = height_of(SHARES, f64::from(percent) / 100.0);
        rule(svg, y, &format!("{percent}%"));
    }
    for tick in places.times.ticks() {
        rule(
            svg,
            height_of(TIMES, places.times.share(tick)),
            &duration(tick),
        );
    }
    for area in [SHARES, TIMES] {
        // A label needs room. A label that would touch the one before is left out.
        let mut free = f64::NEG_INFINITY;
        for load in &places.loads {
            let at = places.x(*load);
            if at >= free {
                mark(svg, at, area, &format!("{:.0}%", load * 100.0));
                free = at + 40.0;
            } else {
                mark(svg, at, area, "");
            }
        }
    }
    axes(svg, SHARES, "offered load", "requests in SLO");
    axes(svg, TIMES, "offered load", "p99 time to first token");
}

fn height_of((top, bottom): (f64, f64), share: f64) -> f64 {
    bottom - share.clamp(0.0, 1.0) * (bottom - top)
}

fn draw_line(svg: &mut String, line: &Line<'_>, place: impl Fn(&Point) -> (f64, f64)) {
    let (colour, dash) = style(line.style);
    let places: Vec<(f64, f64)> = line.points.iter().map(place).collect();
    let path: Vec<String> = places
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    // Writing to a String cannot fail.
    let _ = writeln!(
        svg,
        r#"<polyline fill="none" stroke="{colour}" stroke-width="2.2" stroke-dasharray="{dash}" points="{}"/>"#,
        path.join(" ")
    );
    for (x, y) in places {
        let _ = writeln!(
            svg,
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_point_per_load_in_both_areas() {
        let point = |load, slo_share, p99_s| Point {
            load,
            slo_share,
            p99_s,
        };
        let line = |name, points| Line {
            name,
            style: 1,
            points,
        };
        let svg = sweep(
            "t",
            "s",
            &[
                line("a", vec![point(0.5, 1.0, 0.1), point(1.0, 0.5, 10.0)]),
                line(
                    "b",
                    vec![point(0.5, 0.0, 0.2), point(1.0, 0.0, f64::INFINITY)],
                ),
            ],
        );
        assert_eq!(svg.matches("<circle").count(), 8);
        // A share of one half in SLO is half way up, at the right end.
        let middle = (SHARES.0 + SHARES.1) / 2.0;
        assert!(
            svg.contains(&format!("{:.1},{middle:.1}", RIGHT - 12.0)),
            "{svg}"
        );
        // A time that never came is at the top, not beyond it.
        assert!(
            svg.contains(&format!("{:.1},{:.1}", RIGHT - 12.0, TIMES.0)),
            "{svg}"
        );
        assert!(svg.contains("p99 never") && svg.contains("at 100 %: 50 % in SLO, p99 10 s"));
    }

    #[test]
    fn no_result_is_still_a_picture() {
        assert!(sweep("t", "s", &[]).ends_with("</svg>\n"));
    }
}
