//! The reports of a whole proxy that have gone out, until the aggregator acknowledges them.

use trimtab_loadtable::Report;

use crate::merge::Merge;
use crate::recent::Recent;
use crate::unheard::{Call, Unheard};

/// What the holder of the lease remembers of the proxy's reports, until the aggregator has
/// acknowledged them. Another worker that takes the lease begins with nothing.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// For each of the last reports, the reports of the workers that it merged.
    included: Recent<Vec<(u64, u64)>>,
    unheard: Unheard,
}

impl Outgoing {
    /// Returns the proxy's report for a call that begins now.
    ///
    /// - `merge`: the workers' reports, with the lists that were taken.
    /// - `head`: the report's pool, proxy, sequence, table, key and wait. The rest comes from
    ///   `merge`.
    pub fn report(&mut self, call: Call, mut merge: Merge, head: Report) -> Report {
        self.included.push(head.sequence, merge.included());
        self.unheard.say(call, merge.held());
        merge.finish(head)
    }

    /// The aggregator has answered the call.
    pub fn heard(&mut self, call: Call) {
        self.unheard.heard(call);
    }

    /// The call failed, or its end was never reported. The next call repeats what endpoints hold.
    pub fn failed(&mut self, call: Call) {
        self.unheard.failed(call);
    }

    /// Returns the workers' reports that the proxy's report with this sequence merged: pairs of a
    /// worker's number and the number of its report. A table that names a report has taken in all
    /// of them. `None`: there was no such report, or it is too long ago.
    #[must_use]
    pub fn included(&self, sequence: u64) -> Option<&[(u64, u64)]> {
        self.included.find(sequence).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Written;
    use trimtab_loadtable::{EndpointReport, Moved};

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Returns the keys that a call reports as held, when a worker newly has seen `key`.
    fn report(outgoing: &mut Outgoing, call: Call, sequence: u64, key: u64) -> Vec<u64> {
        let report = Report {
            sequence: 100 + sequence,
            held: vec![Moved { key, endpoint: 0 }],
            endpoints: vec![EndpointReport {
                address: "a:1".into(),
                ..EndpointReport::default()
            }],
            ..Report::default()
        };
        let mut merge = Merge::new(vec![Written {
            worker: 7,
            lists: sequence,
            report,
        }]);
        let _taken = merge.take_lists(&[]);
        let head = Report {
            pool: "chat".into(),
            sequence,
            ..Report::default()
        };
        let report = outgoing.report(call, merge, head);
        assert_eq!((report.pool.as_str(), report.sequence), ("chat", sequence));
        report.held.iter().map(|held| held.key).collect()
    }

    #[test]
    fn a_report_that_a_table_names_leads_to_those_of_the_workers_and_what_fails_is_told_again() {
        let mut outgoing = Outgoing::default();
        assert_eq!(report(&mut outgoing, Call::Sync, 1, 11), [11]);
        assert_eq!(report(&mut outgoing, Call::Report, 2, 12), [12]);
        outgoing.heard(Call::Sync);
        outgoing.failed(Call::Report);
        assert_eq!(report(&mut outgoing, Call::Sync, 3, 13), [12, 13]);
        assert_eq!(outgoing.included(2), Some(&[(7, 102)][..]));
        assert_eq!(outgoing.included(4), None);
    }
}
