//! Several processes behind one page, each with series of its own (label `pid`), as Python's multiprocess mode writes them.
//!
//! Three things look alike on one page: each process has a share of the load; each repeats the same numbers; a process is over
//! and its last numbers stay for ever. Pages over time tell them apart: what a live process has under load moves, what one that is over
//! left stands still, and copies agree.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A process that stands still for so long while another moves is over, or has nothing to do, in which case its numbers are none.
const STILL: Duration = Duration::from_secs(10);
/// A process with requests that stands still for so long is over, whatever the others do: a batch moves with each block.
const STILL_BUSY: Duration = Duration::from_secs(30);
/// Processes followed; further ones count as live.
const MAX_PROCESSES: usize = 64;
/// Pages by which copies and own numbers are believed beyond the newest page.
const MOST_AGREEMENT: i8 = 5;

/// What a page shows of one process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// Digest of its series and their values, without its number.
    pub(super) digest: u64,
    /// Whether it has requests or their memory.
    pub(super) busy: bool,
}

/// What is known of the processes behind one page.
#[derive(Debug, Clone, Default)]
pub struct Processes {
    known: BTreeMap<u64, Process>,
    /// Above 0: what they show are copies. Moved by pages on which at least two live processes show load.
    agreement: i8,
}

#[derive(Debug, Clone, Copy)]
struct Process {
    shown: Shown,
    moved: Instant,
    is_over: bool,
}

impl Processes {
    /// Takes in a page.
    pub(super) fn look(&mut self, page: &BTreeMap<u64, Shown>, now: Instant) {
        self.known.retain(|pid, _| page.contains_key(pid));
        for (pid, shown) in page {
            if let Some(process) = self.known.get_mut(pid) {
                if process.shown != *shown {
                    (process.shown, process.moved) = (*shown, now);
                }
            } else if self.known.len() < MAX_PROCESSES {
                let process = Process {
                    shown: *shown,
                    moved: now,
                    is_over: false,
                };
                self.known.insert(*pid, process);
            }
        }
        self.judge(now);
        self.compare();
    }

    /// Which are over. Never all of them: then none moves, and nothing tells which one lives.
    fn judge(&mut self, now: Instant) {
        let newest = self.known.values().map(|process| process.moved).max();
        let is_over = |process: &Process| {
            let behind = newest.map(|newest| newest.saturating_duration_since(process.moved));
            let still = now.saturating_duration_since(process.moved);
            behind >= Some(STILL) || process.shown.busy && still >= STILL_BUSY
        };
        let all = self.known.values().all(is_over);
        for process in self.known.values_mut() {
            process.is_over = !all && is_over(process);
        }
    }

    fn compare(&mut self) {
        let mut live = self.known.values().filter(|process| !process.is_over);
        let Some(first) = live.next() else {
            return;
        };
        let others: Vec<&Process> = live.collect();
        let busy = first.shown.busy || others.iter().any(|process| process.shown.busy);
        if others.is_empty() || !busy {
            return;
        }
        let agree = others.iter().all(|process| process.shown == first.shown);
        let step = if agree { 1 } else { -1 };
        self.agreement = (self.agreement + step).clamp(-MOST_AGREEMENT, MOST_AGREEMENT);
    }

    /// Whether the process is over, and what is left on the page no load of this server.
    pub(super) fn is_over(&self, pid: u64) -> bool {
        self.known.get(&pid).is_some_and(|process| process.is_over)
    }

    /// Whether each process repeats the same numbers.
    pub(super) fn are_copies(&self) -> bool {
        self.agreement > 0
    }

    /// Of copies the greatest is taken: a live process, the last that moved.
    pub(super) fn rank(&self, pid: u64) -> Option<(bool, Instant, u64)> {
        let process = self.known.get(&pid)?;
        Some((!process.is_over, process.moved, pid))
    }
}
