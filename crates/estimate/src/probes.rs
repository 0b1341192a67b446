//! Who tries out an endpoint that gets no requests.
//!
//! Whoever gets none can not show that they would be answered: a new server whose page has no samples before its first request, a page that
//! nobody can read or that takes long, counters that stand still since everybody left. An endpoint of which the aggregator knows that its
//! server answers, or that hung and was left by all, is tried out: one proxy sends its next request there, with others as second and third
//! choice.

use crate::endpoint::Endpoint;
use crate::reports::Reports;
use crate::tries::Tries;
use std::collections::BTreeMap;
use std::time::Duration;
use trimtab_loadtable::{Doubt, Probe, limits};

/// A proxy that decided something within this is asked first.
const BUSY: Duration = Duration::from_secs(2);
/// It is asked for so long; then another.
const ASKED: Duration = Duration::from_secs(1);
/// Where nobody is busy: a proxy that decided something within this.
const QUIET: Duration = Duration::from_secs(120);
/// And for so long.
const ASKED_QUIET: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy)]
struct Open {
    endpoint: u32,
    proxy: u64,
    number: u64,
    at: Duration,
    until: Duration,
}

/// Who is asked at the moment.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    number: u64,
    last_proxy: u64,
    open: Vec<Open>,
}

impl Probes {
    /// Brings it up to `now`. `doubt`: of each endpoint.
    pub(crate) fn settle(
        &mut self,
        now: Duration,
        endpoints: &mut BTreeMap<String, Endpoint>,
        reports: &Reports,
        doubt: impl Fn(&Endpoint) -> Option<Doubt>,
    ) {
        let mut wanting = Vec::new();
        for endpoint in endpoints.values_mut() {
            let is_tried = matches!(
                doubt(endpoint),
                Some(Doubt::Unreadable | Doubt::Stalled | Doubt::Late)
            );
            if !is_tried {
                endpoint.tries = Tries::default();
                continue;
            }
            let open = self.open.iter().find(|open| open.endpoint == endpoint.id);
            if open.is_some_and(|open| endpoint.service.sent_at > Some(open.at)) {
                endpoint.tries.on_sent(now);
            }
            // What is there already shows it.
            let idle = reports.flight(endpoint.id).requests == 0;
            if idle && now >= endpoint.tries.due() {
                wanting.push(endpoint.id);
            }
        }
        self.open
            .retain(|open| wanting.contains(&open.endpoint) && now <= open.until);
        wanting.retain(|endpoint| self.open.iter().all(|open| open.endpoint != *endpoint));
        for endpoint in wanting {
            if !self.ask(now, endpoint, reports) {
                return;
            }
        }
    }

    /// `false`: nobody is left who could be asked.
    fn ask(&mut self, now: Duration, endpoint: u32, reports: &Reports) -> bool {
        if self.open.len() >= limits::PROBES {
            return false;
        }
        let is_free = |proxy| self.open.iter().all(|open| open.proxy != proxy);
        let next =
            |within| reports.next_active(self.last_proxy, now.saturating_sub(within), is_free);
        let busy = next(BUSY).map(|proxy| (proxy, ASKED));
        let quiet = || next(QUIET).map(|proxy| (proxy, ASKED_QUIET));
        let Some((proxy, asked)) = busy.or_else(quiet) else {
            return false;
        };
        self.last_proxy = proxy;
        self.number = self.number.saturating_add(1);
        self.open.push(Open {
            endpoint,
            proxy,
            number: self.number,
            at: now,
            until: now + asked,
        });
        true
    }

    /// As a table has them. `row`: of the endpoint with that id.
    pub(crate) fn list(&self, row: impl Fn(u32) -> Option<u16>) -> Vec<Probe> {
        let probe = |open: &Open| {
            Some(Probe {
                proxy: open.proxy,
                endpoint: row(open.endpoint)?,
                number: open.number,
            })
        };
        let mut list: Vec<Probe> = self.open.iter().filter_map(probe).collect();
        list.sort_unstable_by_key(|probe| probe.proxy);
        list
    }
}
