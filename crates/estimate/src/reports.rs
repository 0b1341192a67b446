//! What the proxies have in flight, by their reports.

use crate::claim::Claim;
use crate::flight::Flight;
use crate::turn::{Turn, Window};
use crate::work::Rate;
use std::collections::HashMap;
use std::time::Duration;
use trimtab_loadtable::Report;

/// More requests per second than any proxy decides. Bounds what a wrong counter does to the arrival
/// rate.
const MAX_DECIDED_PER_S: f64 = 200_000.0;

/// How a report was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// As a whole.
    Newest,
    /// As a whole, and other proxies should know of it at once: an endpoint got much prefill, or
    /// newly holds something.
    Urgent,
    /// Only its lists. A later report of the same proxy has overtaken it, so its totals do not
    /// count.
    Late,
}

/// Why a report was not taken in. The aggregator may answer with a table nevertheless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A report with this sequence was taken in before, or is too far behind to know. It counts as
    /// a duplicate.
    Old,
    /// More proxies than [`PoolConfig::max_proxies`](crate::PoolConfig::max_proxies).
    TooManyProxies,
    /// More pairs than [`PoolConfig::max_proxy_endpoints`](crate::PoolConfig::max_proxy_endpoints).
    TooManyEndpoints,
}

#[derive(Debug)]
struct Proxy {
    at: Duration,
    window: Window,
    workers: u32,
    decided: u64,
    /// When a report last said that more was decided. Absent: none has.
    decided_at: Option<Duration>,
    decisions: Rate,
    /// Sorted by endpoint id.
    claims: Vec<Claim>,
}

/// All proxies that have reported recently.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    proxies: HashMap<u64, Proxy>,
    claims: usize,
    /// What the claims count for, summed by endpoint id.
    sums: HashMap<u32, Flight>,
}

impl Reports {
    /// Forgets proxies that have been silent for `ttl`.
    pub(crate) fn expire(&mut self, now: Duration, ttl: Duration) {
        let (sums, count) = (&mut self.sums, &mut self.claims);
        self.proxies.retain(|_, proxy| {
            let stays = now.saturating_sub(proxy.at) <= ttl;
            if !stays {
                *count = count.saturating_sub(proxy.claims.len());
                proxy.claims.iter().for_each(|claim| take_out(sums, claim));
            }
            stays
        });
    }

    /// Says whether a report fits, and its turn. Separate from [`Reports::replace`], so that a
    /// refused report changes nothing.
    pub(crate) fn admit(
        &self,
        report: &Report,
        max_proxies: usize,
        max_claims: usize,
    ) -> Result<Turn, Refusal> {
        let known = self.proxies.get(&report.proxy);
        match known.map(|proxy| proxy.window.turn(report.sequence)) {
            None | Some(Some(Turn::Newest)) => {}
            Some(Some(Turn::Late)) => return Ok(Turn::Late),
            Some(None) => return Err(Refusal::Old),
        }
        if known.is_none() && self.proxies.len() >= max_proxies {
            return Err(Refusal::TooManyProxies);
        }
        let others = self
            .claims
            .saturating_sub(known.map_or(0, |proxy| proxy.claims.len()));
        if others.saturating_add(report.endpoints.len()) > max_claims {
            return Err(Refusal::TooManyEndpoints);
        }
        Ok(Turn::Newest)
    }

    /// Notes that an overtaken report was taken in.
    pub(crate) fn on_late(&mut self, report: &Report) {
        if let Some(proxy) = self.proxies.get_mut(&report.proxy) {
            proxy.window.take(report.sequence);
        }
    }

    /// Stores a report's claims. Calls `each` for each claim, with the claim before it and the time
    /// of the report before.
    pub(crate) fn replace(
        &mut self,
        now: Duration,
        report: &Report,
        mut claims: Vec<Claim>,
        mut each: impl FnMut(&Claim, Option<&Claim>, Option<Duration>),
    ) {
        claims.sort_unstable_by_key(|claim| claim.id);
        let before = self.proxies.remove(&report.proxy);
        let (mut decisions, mut decided_at) = (Rate::default(), None);
        if let Some(before) = &before {
            decisions = before.decisions;
            decided_at = match report.decided > before.decided {
                true => Some(now),
                false => before.decided_at,
            };
            let seconds = now.saturating_sub(before.at).as_secs_f64();
            let decided = report.decided.saturating_sub(before.decided) as f64;
            decisions.add(decided.min(MAX_DECIDED_PER_S * seconds), seconds);
            self.claims = self.claims.saturating_sub(before.claims.len());
            let old = before.claims.iter();
            old.for_each(|claim| take_out(&mut self.sums, claim));
        }
        for claim in &claims {
            let old = before.as_ref().and_then(|proxy| {
                let index = proxy
                    .claims
                    .binary_search_by_key(&claim.id, |old| old.id)
                    .ok()?;
                proxy.claims.get(index)
            });
            each(claim, old, before.as_ref().map(|proxy| proxy.at));
            self.sums.entry(claim.id).or_default().add(claim.counts);
        }
        self.claims = self.claims.saturating_add(claims.len());
        let workers = report.workers.max(1);
        let mut window = before.map(|proxy| proxy.window).unwrap_or_default();
        window.take(report.sequence);
        let proxy = Proxy {
            at: now,
            window,
            workers,
            decided: report.decided,
            decided_at,
            decisions,
            claims,
        };
        self.proxies.insert(report.proxy, proxy);
    }

    /// Returns, by proxy, the sequence of its newest report.
    pub(crate) fn newest(&self) -> HashMap<u64, u64> {
        let newest = |(number, proxy): (&u64, &Proxy)| (*number, proxy.window.newest());
        self.proxies.iter().map(newest).collect()
    }

    /// Returns how many requests this proxy had decided at its last report. `None`: it has not
    /// reported.
    pub(crate) fn decided(&self, proxy: u64) -> Option<u64> {
        self.proxies.get(&proxy).map(|proxy| proxy.decided)
    }

    /// Returns the next proxy after `last`, in a circle, that has decided something since `since`
    /// and for which `is_free` holds.
    pub(crate) fn next_active(
        &self,
        last: u64,
        since: Duration,
        is_free: impl Fn(u64) -> bool,
    ) -> Option<u64> {
        let decides = |proxy: &Proxy| proxy.decided_at.is_some_and(|at| at >= since);
        self.proxies
            .iter()
            .filter(|(number, proxy)| decides(proxy) && is_free(**number))
            .map(|(number, _)| *number)
            .min_by_key(|number| number.wrapping_sub(last).wrapping_sub(1))
    }

    /// Returns the number of workers of all proxies. `None`: no proxy has reported recently.
    pub(crate) fn deciders(&self) -> Option<u32> {
        let sum = |sum: u32, proxy: &Proxy| sum.saturating_add(proxy.workers);
        (!self.proxies.is_empty()).then(|| self.proxies.values().fold(0, sum))
    }

    /// Returns the requests per second that the proxies decide.
    pub(crate) fn decided_per_s(&self) -> Option<f64> {
        self.proxies
            .values()
            .filter_map(|proxy| proxy.decisions.per_s())
            .reduce(|a, b| a + b)
    }

    /// Returns the mean age of the reports, weighted by the requests that each proxy decides. Over
    /// all requests this is the mean time since their proxy last reported.
    pub(crate) fn mean_age(&self, now: Duration) -> Option<Duration> {
        let aged = |proxy: &Proxy| {
            // A proxy that decides nothing hides nothing.
            let weight = proxy.decisions.per_s().unwrap_or(1.0).max(1e-3);
            (weight, weight * now.saturating_sub(proxy.at).as_secs_f64())
        };
        let ages = self.proxies.values().map(aged);
        let (weight, aged) = ages.reduce(|a, b| (a.0 + b.0, a.1 + b.1))?;
        Some(Duration::from_secs_f64(aged / weight))
    }

    /// Returns what is in flight at the endpoint with this id, over all proxies. Each claim is
    /// bounded. O(1).
    pub(crate) fn flight(&self, id: u32) -> Flight {
        self.sums.get(&id).copied().unwrap_or_default()
    }
}

fn take_out(sums: &mut HashMap<u32, Flight>, claim: &Claim) {
    if let Some(sum) = sums.get_mut(&claim.id) {
        sum.take(claim.counts);
        if *sum == Flight::default() {
            sums.remove(&claim.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EndpointSpec;
    use crate::endpoint::Endpoint;
    use crate::tests::draws;
    use trimtab_loadtable::EndpointReport;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn sums_kept_from_report_to_report_are_those_of_all_claims() {
        let mut reports = Reports::default();
        let mut below = draws(1);
        for step in 0..2_000 {
            let now = Duration::from_millis(10 * step);
            let (proxy, endpoints) = (below(6), below(4) as u32);
            let report = Report {
                proxy,
                sequence: step + 1,
                ..Report::default()
            };
            let claim = |id| {
                let endpoint = Endpoint::new(id, EndpointSpec::default(), now);
                let said = EndpointReport {
                    in_flight: below(3) as u32,
                    pending: below(3) as u32,
                    pending_tokens: below(900) as u32,
                    ..EndpointReport::default()
                };
                Claim::new(&endpoint, &said)
            };
            let claims = (0..endpoints).map(claim).collect();
            reports.replace(now, &report, claims, |_, _, _| {});
            reports.expire(now, Duration::from_millis(50));
            for id in 0..4 {
                let mut sum = Flight::default();
                let all = reports.proxies.values().flat_map(|proxy| &proxy.claims);
                all.filter(|claim| claim.id == id)
                    .for_each(|claim| sum.add(claim.counts));
                assert_eq!(reports.flight(id), sum, "step {step}, endpoint {id}");
            }
            let claims = reports.proxies.values().map(|proxy| proxy.claims.len());
            assert_eq!(reports.claims, claims.sum::<usize>());
        }
    }
}
