//! What endpoints hold, until the aggregator has answered the call that reported it.
//!
//! Only this proxy knows it, so the next call repeats what a failed one reported. A copy does no
//! harm here. The other lists of a report are parts of statistics: there a loss is better than a
//! copy, and nothing is repeated.

use std::collections::BTreeMap;

use trimtab_loadtable::limits;

/// The calls that carry reports. At most one of each kind is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// The long poll.
    Sync,
    /// A report that asks for no table.
    Report,
}

/// Keys and addresses of endpoints that calls have carried without an answer so far. Bounded by
/// what a report may have.
#[derive(Debug, Default)]
pub(crate) struct Unheard {
    by_sync: Vec<(u64, String)>,
    by_report: Vec<(u64, String)>,
    lost: Vec<(u64, String)>,
}

impl Unheard {
    fn said(&mut self, call: Call) -> &mut Vec<(u64, String)> {
        match call {
            Call::Sync => &mut self.by_sync,
            Call::Report => &mut self.by_report,
        }
    }

    /// A call begins that reports `held`. Adds what failed before, as far as there is room.
    pub(crate) fn say(&mut self, call: Call, held: &mut BTreeMap<u64, String>) {
        self.failed(call);
        while let Some((key, address)) = self.lost.pop() {
            if held.len() < limits::REPORTED_HELD {
                held.insert(key, address);
            }
        }
        let all = held.iter().map(|(key, address)| (*key, address.clone()));
        *self.said(call) = all.collect();
    }

    /// The aggregator has answered the call.
    pub(crate) fn heard(&mut self, call: Call) {
        self.said(call).clear();
    }

    /// The call failed, or its end was never reported.
    pub(crate) fn failed(&mut self, call: Call) {
        let said = std::mem::take(self.said(call));
        self.lost.extend(said);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn said(unheard: &mut Unheard, call: Call, new: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let new = new.into_iter().map(|key| (key, "a".to_owned()));
        let mut held: BTreeMap<u64, String> = new.collect();
        unheard.say(call, &mut held);
        held.into_keys().collect()
    }

    #[test]
    fn what_fails_is_said_again_by_whichever_call_comes_next_and_what_is_heard_is_not() {
        let mut unheard = Unheard::default();
        assert_eq!(said(&mut unheard, Call::Sync, [1]), [1]);
        assert_eq!(said(&mut unheard, Call::Report, [2]), [2]);
        unheard.heard(Call::Sync);
        unheard.failed(Call::Report);
        assert_eq!(said(&mut unheard, Call::Sync, [3]), [2, 3]);
        // The end of the last call was never reported.
        assert_eq!(said(&mut unheard, Call::Sync, [4]), [2, 3, 4]);
        unheard.heard(Call::Sync);
        assert!(said(&mut unheard, Call::Sync, []).is_empty());
        assert!(said(&mut unheard, Call::Report, []).is_empty());
    }

    #[test]
    fn no_more_is_remembered_than_a_report_may_have() {
        let mut unheard = Unheard::default();
        let most = limits::REPORTED_HELD as u64;
        for round in 0..4 {
            let keys = round * most..(round + 1) * most;
            assert_eq!(said(&mut unheard, Call::Sync, keys).len() as u64, most);
            assert!(unheard.lost.is_empty());
        }
    }
}
