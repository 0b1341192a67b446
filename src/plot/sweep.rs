//! How results change with the load: share in SLO, and p99 of the time to first token.

use std::fmt::Write as _;

use super::{
    LEFT, LogAxis, RIGHT, axes, begin, duration, legend, legend_height, mark, rule, style,
};

/// Top and bottom of the two areas.
const SHARES: (f64, f64) = (84.0, 300.0);
const TIMES: (f64, f64) = (372.0, 588.0);

/// One rule over its loads, ascending.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    /// Colour and dashes, 0 to 9.
    pub(crate) style: usize,
    pub(crate) points: Vec<Point>,
}

/// What a rule came to at one load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub(crate) load: f64,
    /// 0 to 1.
    pub(crate) slo_share: f64,
    /// Infinite: more than one in a hundred never had a first token; the line then leaves the picture at its top.
    pub(crate) p99_s: f64,
}

/// The share of requests in SLO and the p99 of their time to first token (logarithmic), against the load.
pub(crate) fn sweep(title: &str, subtitle: &str, lines: &[Line<'_>]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let axis = LogAxis::around(points().map(|point| point.p99_s));
    let mut loads: Vec<f64> = points().map(|point| point.load).collect();
    loads.sort_unstable_by(f64::total_cmp);
    loads.dedup();
    let (least, most) = (
        loads.first().copied().unwrap_or(0.0),
        loads.last().copied().unwrap_or(1.0),
    );
    let span = (most - least).max(1e-6);
    let x = |load: f64| LEFT + 12.0 + (load - least) / span * (RIGHT - LEFT - 24.0);
    let height = legend_height(lines.len()).max(TIMES.1 + 70.0);
    let mut svg = begin(height, title, subtitle);
    for percent in [0_u8, 25, 50, 75, 90, 100] {
        let label = format!("{percent}%");
        rule(
            &mut svg,
            height_of(SHARES, f64::from(percent) / 100.0),
            &label,
        );
    }
    for tick in axis.ticks() {
        rule(
            &mut svg,
            height_of(TIMES, axis.share(tick)),
            &duration(tick),
        );
    }
    for area in [SHARES, TIMES] {
        // A label needs room; what would touch the one before is left out.
        let mut free = f64::NEG_INFINITY;
        for load in &loads {
            let at = x(*load);
            let label = format!("{:.0}%", load * 100.0);
            mark(&mut svg, at, area, if at >= free { &label } else { "" });
            free = if at >= free { at + 40.0 } else { free };
        }
    }
    axes(&mut svg, SHARES, "offered load", "requests in SLO");
    axes(&mut svg, TIMES, "offered load", "p99 time to first token");
    for line in lines {
        let place = |point: &Point| (x(point.load), height_of(SHARES, point.slo_share));
        draw(&mut svg, line, place);
        let place = |point: &Point| (x(point.load), height_of(TIMES, axis.share(point.p99_s)));
        draw(&mut svg, line, place);
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

fn height_of((top, bottom): (f64, f64), share: f64) -> f64 {
    bottom - share.clamp(0.0, 1.0) * (bottom - top)
}

fn draw(svg: &mut String, line: &Line<'_>, place: impl Fn(&Point) -> (f64, f64)) {
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
        // Half in SLO stands half way up, at the right end.
        let middle = (SHARES.0 + SHARES.1) / 2.0;
        assert!(
            svg.contains(&format!("{:.1},{middle:.1}", RIGHT - 12.0)),
            "{svg}"
        );
        // What never came stands at the top, not beyond.
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
