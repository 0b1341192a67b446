//! Chooses proxies that try out endpoints which get no requests.
//!
//! Without requests an endpoint cannot show that it would answer them. Its server may be new, with
//! a page without samples before the first request. Its page may be unreadable or slow. Or its
//! counters may stand still since all requests left. An endpoint is tried out if its server is
//! known to answer, or if it stalled and all requests have left. One proxy then sends its next
//! request there, with other endpoints as second and third choice.

use crate::endpoint::Endpoint;
use crate::reports::Reports;
use crate::tries::Tries;
use std::collections::BTreeMap;
use std::time::Duration;
use trimtab_loadtable::{Doubt, Probe, limits};

/// A proxy that has decided something within this time is asked first.
const BUSY: Duration = Duration::from_secs(2);
/// A busy proxy is asked for this long, then another.
const ASKED: Duration = Duration::from_secs(1);
/// If no proxy is busy: a proxy that has decided something within this time is asked.
const QUIET: Duration = Duration::from_secs(120);
/// A quiet proxy is asked for this long.
const ASKED_QUIET: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy)]
struct Open {
    endpoint: u32,
    proxy: u64,
    number: u64,
    at: Duration,
    until: Duration,
}

/// The probes that are open.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    number: u64,
    last_proxy: u64,
    open: Vec<Open>,
}

impl Probes {
    /// Updates the probes to `now`. `doubt` returns the doubt about an endpoint.
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
            // Requests that are there already show whether it answers.
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

    /// Asks a proxy to try out an endpoint. Returns `false` if no proxy can be asked.
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

    /// Returns the probes for a table. `row` returns the row of the endpoint with an id.
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
