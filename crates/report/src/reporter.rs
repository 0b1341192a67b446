//! A worker's own report: its totals and lists at one moment, under a number that counts up.

use trimtab_loadtable::Report;
use trimtab_pick::{Booking, EndpointId, Picker, Sends};

use crate::outbox::{Lists, Outbox};
use crate::recent::Recent;
use crate::tally::Tally;

/// What a worker remembers of its reports.
#[derive(Debug, Default)]
pub struct Reporter {
    /// Number of the last report.
    number: u64,
    /// What had been sent when each of the last reports was written.
    sends: Recent<Sends>,
    outbox: Outbox,
    /// When the last report was written, in nanoseconds like all times here.
    pub written_ns: u64,
    /// When this worker last made sure that it is in the list of workers.
    pub registered_ns: u64,
    /// When the holder of the lease was last woken for an urgent report.
    pub told_ns: u64,
    /// An urgent event came too soon after that. The next tick or urgent event reports it.
    pub untold: bool,
}

impl Reporter {
    /// A request was decided.
    pub fn on_decided(&mut self, booking: &Booking) {
        let keys = booking.shared_keys();
        keys.for_each(|key| self.outbox.count(key));
    }

    /// Whether there are lists that the holder of the lease may not have taken.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.outbox.waits()
    }

    /// Whether to write again although nothing has happened since.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.outbox.has_more()
    }

    /// Returns the report to write now, and the number of its lists.
    ///
    /// - `me`: this worker's number.
    /// - `taken`: the number of the lists that the holder of the lease took last.
    pub fn write(
        &mut self,
        pool: &str,
        me: u64,
        taken: u64,
        tally: &mut Tally,
        picker: &mut Picker,
    ) -> (u64, Report) {
        self.number = self.number.saturating_add(1);
        self.sends.push(self.number, picker.sends());
        let (lists_number, lists) = self.outbox.show(taken, || {
            let mut new = Lists {
                seen: tally.take_seen(),
                ..Lists::default()
            };
            picker.take_moved(|key, endpoint| _ = new.moved.insert(key, endpoint));
            picker.take_held(|key, endpoint| _ = new.held.insert(key, endpoint));
            new
        });
        let mut endpoints = tally.take();
        for (endpoint, seen) in &lists.seen {
            let row = tally.address(*endpoint).and_then(|address| {
                endpoints
                    .binary_search_by(|row| row.address.as_str().cmp(address))
                    .ok()
            });
            if let Some(row) = row.and_then(|row| endpoints.get_mut(row)) {
                row.seen.clone_from(seen);
            }
        }
        let row = |endpoint: &EndpointId| {
            let address = tally.address(*endpoint)?;
            endpoints
                .binary_search_by(|row| row.address.as_str().cmp(address))
                .ok()
        };
        let (moved, held) = (lists.moved(row), lists.held(row));
        let report = Report {
            pool: pool.to_owned(),
            proxy: me,
            sequence: self.number,
            workers: u32::from(tally.decided > 0),
            decided: tally.decided,
            prefixes: lists.prefixes(),
            moved,
            held,
            endpoints,
            ..Report::default()
        };
        (lists_number, report)
    }

    /// Returns what had been sent when that report was written. `None`: forgotten.
    #[must_use]
    pub fn sends(&self, report: u64) -> Option<Sends> {
        self.sends.find(report).copied()
    }
}
