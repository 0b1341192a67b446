//! What the troubles mean for the newest table. Kept until something changes.

use alloc::vec::Vec;

use super::trouble::{SLOW_MS, Trouble, Wants};
use crate::{Millis, Snapshot};

/// Share of the decisions in which an endpoint takes part when slow start begins, as Envoy's
/// `min_weight_percent`.
const LEAST_SHARE: f64 = 0.1;

/// An endpoint in slow start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slow {
    index: u32,
    since: Millis,
}

impl Slow {
    /// Returns the share of the decisions in which the endpoint takes part, 0.1 to 1. It is 1 for
    /// an endpoint that is not in `slow`.
    pub(crate) fn share(slow: &[Self], now: Millis, index: u32) -> f64 {
        let found = slow.binary_search_by_key(&index, |slow| slow.index);
        match found.ok().and_then(|at| slow.get(at)) {
            Some(slow) => (now.since(slow.since) as f64 / SLOW_MS as f64).clamp(LEAST_SHARE, 1.0),
            None => 1.0,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct View {
    /// The table without the endpoints that are left out. Absent: none is left out.
    table: Option<Snapshot>,
    left_out: Vec<u32>,
    /// Ascending by index.
    slow: Vec<Slow>,
    /// More than half would be left out, so none is.
    panics: bool,
    /// Nothing is known, or something has changed.
    outdated: bool,
    made_at: Millis,
    /// When time alone changes something.
    changes_at: Option<Millis>,
}

impl View {
    pub(super) fn table(&self) -> Option<&Snapshot> {
        self.table.as_ref()
    }

    pub(super) fn slow(&self) -> &[Slow] {
        &self.slow
    }

    pub(super) fn panics(&self) -> bool {
        self.panics
    }

    pub(super) fn outdate(&mut self) {
        self.outdated = true;
    }

    /// Forgets everything, because the table is another one.
    pub(super) fn forget(&mut self) {
        self.table = None;
        self.left_out.clear();
        self.slow.clear();
        self.outdated = true;
    }

    /// Returns whether nothing has changed. Time alone, or a clock that stepped back, may change
    /// something.
    pub(super) fn is_current(&self, now: Millis) -> bool {
        !self.outdated
            && self
                .changes_at
                .is_none_or(|at| now < at && now >= self.made_at)
    }

    #[cold]
    #[inline(never)]
    pub(super) fn renew(&mut self, now: Millis, troubles: &[Trouble], table: &Snapshot) {
        let (mut left_out, mut slow) = (Vec::new(), Vec::new());
        for trouble in troubles {
            let Some(index) = table.index_of(trouble.endpoint) else {
                continue;
            };
            // Insert each in order. A sort would be much code for a few entries.
            match trouble.wants() {
                Wants::ToBeLeftOut if table.members().binary_search(&index).is_ok() => {
                    left_out.insert(left_out.partition_point(|other| *other < index), index);
                }
                Wants::SlowStart(since) => {
                    let at = slow.partition_point(|other: &Slow| other.index < index);
                    slow.insert(at, Slow { index, since });
                }
                Wants::ToBeLeftOut | Wants::Nothing | Wants::Oblivion => {}
            }
        }
        // When most are out, the endpoints are not the cause. The network fails, or this proxy, or
        // something that all have in common.
        self.panics = left_out.len() * 2 > table.members().len();
        if self.panics {
            left_out.clear();
        }
        if left_out != self.left_out {
            self.table = (!left_out.is_empty()).then(|| table.without(left_out.clone()));
            self.left_out = left_out;
        }
        self.slow = slow;
        self.outdated = false;
        self.made_at = now;
        self.changes_at = troubles.iter().filter_map(Trouble::changes_at).min();
    }
}
