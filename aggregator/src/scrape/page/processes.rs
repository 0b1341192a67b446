//! Tells apart several processes behind one page. Each has series of its own (label `pid`), as
//! Python's multiprocess mode writes them.
//!
//! Three cases look the same on one page:
//!
//! - Each process has a share of the load.
//! - Each process repeats the same numbers.
//! - A process is over, and its last numbers stay on the page.
//!
//! Successive pages tell the cases apart. Numbers of a live process under load change, those of a
//! process that is over do not, and copies agree.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A process whose numbers stand still for this long while another's change is over, or idle. The
/// numbers of an idle process are 0.
const STILL: Duration = Duration::from_secs(10);
/// A process with requests whose numbers stand still for this long is over, whatever the others do.
/// A batch changes with each KV block.
const STILL_BUSY: Duration = Duration::from_secs(30);
/// How many processes are followed. Further ones count as live.
const MAX_PROCESSES: usize = 64;
/// Bound of `agreement`: by how many pages the past outweighs the newest page.
const MOST_AGREEMENT: i8 = 5;

/// What a page shows of one process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// A digest of its series and their values, without the label `pid`.
    pub(super) digest: u64,
    /// Whether it has requests, or KV cache in use.
    pub(super) busy: bool,
}

/// What is known of the processes behind one page.
#[derive(Debug, Clone, Default)]
pub struct Processes {
    known: BTreeMap<u64, Process>,
    /// Above 0: processes show copies. Only pages on which at least two processes live and one has
    /// load change it.
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

    /// Decides which processes are over. Never all of them: if none moves, nothing tells which one
    /// lives.
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

    /// Whether the process is over. Its numbers on the page are then no load of this server.
    pub(super) fn is_over(&self, pid: u64) -> bool {
        self.known.get(&pid).is_some_and(|process| process.is_over)
    }

    /// Whether each process repeats the same numbers.
    pub(super) fn are_copies(&self) -> bool {
        self.agreement > 0
    }

    /// Ranks copies: the greatest is taken. Live processes rank first, then the one that changed
    /// last.
    pub(super) fn rank(&self, pid: u64) -> Option<(bool, Instant, u64)> {
        let process = self.known.get(&pid)?;
        Some((!process.is_over, process.moved, pid))
    }
}
