//! Shows the state of the demo while it runs: a redrawn table on a terminal, plain lines elsewhere.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};

use crate::plot::duration;

/// The current state of one lane.
#[derive(Debug, Clone, Default)]
pub(crate) struct LaneView {
    pub(crate) name: String,
    /// Median and p99 over the last seconds; absent if no first token came in them.
    pub(crate) ttft_p50_s: Option<f64>,
    pub(crate) ttft_p99_s: Option<f64>,
    pub(crate) in_flight: usize,
    pub(crate) done: usize,
    pub(crate) errors: usize,
    /// Cached share of the prompt tokens answered so far.
    pub(crate) hit_ratio: f64,
    /// Name, running and waiting requests of each server; absent if it did not answer.
    pub(crate) servers: Vec<(String, Option<(u32, u32)>)>,
}

/// The phase of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    WarmUp,
    Measuring,
    Draining,
}

impl Phase {
    fn text(self) -> &'static str {
        match self {
            Self::WarmUp => "warm-up",
            Self::Measuring => "measuring",
            Self::Draining => "waiting for the last answers",
        }
    }
}

/// Writes views to standard output.
#[derive(Debug)]
pub(crate) struct Screen {
    redraws: bool,
    /// Lines of the last drawing, which the next one replaces.
    drawn: usize,
}

impl Screen {
    /// Returns a screen that redraws in place if standard output is a terminal and `plain` is
    /// false.
    pub(crate) fn new(plain: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            redraws: !plain && !dumb && std::io::stdout().is_terminal(),
            drawn: 0,
        }
    }

    /// Returns the seconds between two views. A table may change often; lines in a log should be
    /// few.
    pub(crate) fn interval_s(&self) -> f64 {
        if self.redraws { 0.5 } else { 2.0 }
    }

    /// Shows a view. If standard output is gone (a closed pipe), the measurement goes on.
    pub(crate) fn show(&mut self, elapsed_s: f64, phase: Phase, lanes: &[LaneView]) {
        let text = if self.redraws {
            self.redrawn(&table(elapsed_s, phase, lanes))
        } else {
            line(elapsed_s, phase, lanes)
        };
        let mut out = std::io::stdout().lock();
        let _closed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    fn redrawn(&mut self, table: &str) -> String {
        // Moves the cursor up over the last table and clears to the end. Lines do not wrap
        // meanwhile, or the count of lines would be wrong.
        let up = if self.drawn > 0 {
            format!("\x1b[{}A", self.drawn)
        } else {
            String::new()
        };
        self.drawn = table.lines().count();
        format!("\x1b[?7l{up}\x1b[J{table}\x1b[?7h")
    }
}

fn time(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), duration)
}

fn servers(lane: &LaneView, separator: &str) -> String {
    let one = |(name, load): &(String, Option<(u32, u32)>)| match load {
        Some((running, 0)) => format!("{name} {running}"),
        Some((running, waiting)) => format!("{name} {running}+{waiting}"),
        None => format!("{name} ?"),
    };
    lane.servers
        .iter()
        .map(one)
        .collect::<Vec<_>>()
        .join(separator)
}

/// Formats a view as one line, for logs.
fn line(elapsed_s: f64, phase: Phase, lanes: &[LaneView]) -> String {
    let mut out = format!("{elapsed_s:5.1} s {}", phase.text());
    for lane in lanes {
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            " | {}: ttft p50 {} p99 {}, {} in flight, hits {:.0} %, {} done, {} errors [{}]",
            lane.name,
            time(lane.ttft_p50_s),
            time(lane.ttft_p99_s),
            lane.in_flight,
            lane.hit_ratio * 100.0,
            lane.done,
            lane.errors,
            servers(lane, ", ")
        );
    }
    out.push('\n');
    out
}

/// Formats a view as a table, for a terminal.
fn table(elapsed_s: f64, phase: Phase, lanes: &[LaneView]) -> String {
    let mut out = format!(
        "\n  {elapsed_s:.1} s, {}; TTFT of the last 10 s; per server: requests running+waiting\n\n  {:<14} {:>9} {:>9} {:>9} {:>6} {:>6} {:>6}   servers\n",
        phase.text(),
        "lane",
        "TTFT p50",
        "p99",
        "in flight",
        "hits",
        "done",
        "errors"
    );
    for lane in lanes {
        let _ = writeln!(
            out,
            "  {:<14} {:>9} {:>9} {:>9} {:>5.0}% {:>6} {:>6}   {}",
            lane.name,
            time(lane.ttft_p50_s),
            time(lane.ttft_p99_s),
            lane.in_flight,
            lane.hit_ratio * 100.0,
            lane.done,
            lane.errors,
            servers(lane, "  ")
        );
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane() -> LaneView {
        LaneView {
            name: "trimtab".to_owned(),
            ttft_p50_s: Some(0.08),
            ttft_p99_s: Some(1.25),
            in_flight: 7,
            done: 100,
            errors: 0,
            hit_ratio: 0.61,
            servers: vec![
                ("fast".to_owned(), Some((3, 0))),
                ("slow".to_owned(), Some((2, 5))),
                ("gone".to_owned(), None),
            ],
        }
    }

    #[test]
    fn a_line_holds_every_figure() {
        let line = line(4.0, Phase::Measuring, &[lane(), LaneView::default()]);
        for part in [
            "4.0 s measuring",
            "p50 80 ms",
            "p99 1.25 s",
            "7 in flight",
            "hits 61 %",
            "slow 2+5",
            "gone ?",
            "p50 -",
        ] {
            assert!(line.contains(part), "{part} is missing in {line}");
        }
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn a_redrawn_table_replaces_the_last_one() {
        let mut screen = Screen {
            redraws: true,
            drawn: 0,
        };
        let first = screen.redrawn(&table(1.0, Phase::WarmUp, &[lane()]));
        let lines = screen.drawn;
        assert!(!first.contains('A') || !first.contains(&format!("\x1b[{lines}A")));
        let second = screen.redrawn(&table(1.5, Phase::WarmUp, &[lane()]));
        assert!(second.contains(&format!("\x1b[{lines}A")), "{second:?}");
    }
}
