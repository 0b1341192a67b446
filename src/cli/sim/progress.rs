//! Shows the progress of a batch on standard error.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use super::pool::Task;

/// Time between two lines without a terminal.
const LINES_APART: Duration = Duration::from_secs(20);

/// The line that shows the progress.
#[derive(Debug)]
pub(super) struct Progress {
    start: Instant,
    /// Requests of each task. The time of a task grows with them.
    weights: Vec<f64>,
    done: usize,
    done_weight: f64,
    terminal: bool,
    last_line: Instant,
}

impl Progress {
    pub(super) fn start(tasks: &[Task<'_>]) -> Self {
        let now = Instant::now();
        let progress = Self {
            start: now,
            weights: tasks.iter().map(|task| task.job.requests).collect(),
            done: 0,
            done_weight: 0.0,
            terminal: std::io::stderr().is_terminal(),
            last_line: now,
        };
        if progress.terminal {
            progress.write(&format!("0 of {} runs", tasks.len()));
        }
        progress
    }

    /// Counts a task as ended and updates the line.
    pub(super) fn done(&mut self, task: usize) {
        self.done += 1;
        self.done_weight += self.weights.get(task).copied().unwrap_or(0.0);
        let text = line(
            (self.done, self.weights.len()),
            self.done_weight / self.weights.iter().sum::<f64>(),
            self.start.elapsed(),
        );
        if self.terminal {
            self.write(&text);
        } else if self.last_line.elapsed() >= LINES_APART {
            self.last_line = Instant::now();
            eprintln!("{text}");
        }
    }

    /// Removes the line, so that something else can be printed.
    pub(super) fn clear(&self) {
        if self.terminal {
            self.write("");
        }
    }

    fn write(&self, text: &str) {
        let mut out = std::io::stderr().lock();
        // A terminal that is gone is no reason to stop.
        let _gone = write!(out, "\r\x1b[K{text}").and_then(|()| out.flush());
    }
}

/// Formats the line. `share` is the finished part of the work, 0 to 1.
fn line((done, of): (usize, usize), share: f64, elapsed: Duration) -> String {
    let percent = share.clamp(0.0, 1.0) * 100.0;
    let left_s = elapsed.as_secs_f64() * (1.0 - share) / share;
    let left = if !left_s.is_finite() || done == of {
        String::new()
    } else if left_s < 90.0 {
        format!(", about {left_s:.0} s left")
    } else {
        format!(", about {:.0} min left", left_s / 60.0)
    };
    format!("{done} of {of} runs, {percent:.0} %{left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_follows_from_what_is_done() {
        let after = |seconds| Duration::from_secs(seconds);
        for (text, expected) in [
            (
                line((1, 4), 0.25, after(10)),
                "1 of 4 runs, 25 %, about 30 s left",
            ),
            (
                line((3, 9), 0.5, after(600)),
                "3 of 9 runs, 50 %, about 10 min left",
            ),
            (line((4, 4), 1.0, after(10)), "4 of 4 runs, 100 %"),
            (line((0, 4), 0.0, after(0)), "0 of 4 runs, 0 %"),
        ] {
            assert_eq!(text, expected);
        }
    }
}
