//! Says whether an endpoint may be chosen, and why it may not.

use crate::PoolConfig;
use crate::endpoint::Endpoint;
use crate::missed::Missed;
use std::time::Duration;
use trimtab_loadtable::{Doubt, State};

/// Reports may say this much later that a request ended. An earlier good answer may be from before
/// the page was lost.
const LATE_REPORTS: Duration = Duration::from_millis(250);
/// An endpoint that only proxies can reach is used for this long after its last good answer.
const TRUSTED: Duration = Duration::from_secs(10);

/// Returns state and doubt of an endpoint at `now`.
pub(crate) fn of(
    endpoint: &Endpoint,
    now: Duration,
    config: &PoolConfig,
) -> (State, Option<Doubt>) {
    let sample = endpoint.sample.as_ref().map(|(_, sample)| sample);
    if endpoint.spec.draining {
        return (State::Draining, None);
    }
    if sample.is_some_and(|sample| sample.awake == Some(false)) && is_current(endpoint, now, config)
    {
        return (State::Draining, Some(Doubt::Asleep));
    }
    let is_stalled = endpoint.stall.is_stalled(now);
    if is_current(endpoint, now, config) || serves(endpoint, now) {
        return match is_stalled {
            true => (State::Suspect, Some(Doubt::Stalled)),
            false => (State::Ready, None),
        };
    }
    // Without a current page or good answers it is not known whether the counters stand still.
    let doubt = match endpoint.missed {
        Some((_, Missed::Unreadable)) => Some(Doubt::Unreadable),
        Some((_, Missed::Unreachable)) => Some(Doubt::Unreachable),
        Some((_, Missed::Late)) => Some(Doubt::Late),
        // Not scraped yet, or the scraper itself is late.
        None => (is_stalled && endpoint.sample.is_some()).then_some(Doubt::Stalled),
    };
    (State::Suspect, doubt)
}

/// Whether the newest sample shows how the endpoint does.
pub(crate) fn is_read(endpoint: &Endpoint, now: Duration, config: &PoolConfig) -> bool {
    is_current(endpoint, now, config) && !endpoint.stall.is_stalled(now)
}

/// Whether the endpoint's gauges can be believed. They cannot where they stand still and no proxy
/// has a request there. An engine whose requests were all cancelled keeps its last values until its
/// next step. While these say that it is full, it gets no request that would cause a step.
pub(crate) fn is_trusted(
    endpoint: &Endpoint,
    in_flight: u64,
    now: Duration,
    config: &PoolConfig,
) -> bool {
    let says_idle = endpoint.in_engine() == Some(0.0);
    let scraped_at = endpoint.sample.as_ref().map(|(at, _)| *at);
    let rests = scraped_at.is_some_and(|at| endpoint.stall.rests(at));
    is_read(endpoint, now, config) && (says_idle || in_flight > 0 || !rests)
}

/// Whether the newest sample is young enough, with few enough failures after it. Where pages come
/// late, it may be older by twice what the last page took.
fn is_current(endpoint: &Endpoint, now: Duration, config: &PoolConfig) -> bool {
    let oldest = config
        .suspect_after
        .saturating_add(endpoint.late.saturating_mul(2));
    endpoint.sample.is_some()
        && endpoint.failures < config.suspect_after_failures.max(1)
        && endpoint.age(now) <= oldest
}

/// Whether proxies get good answers from an endpoint whose page is lost.
fn serves(endpoint: &Endpoint, now: Duration) -> bool {
    let Some((lost_at, missed)) = endpoint.missed else {
        return false;
    };
    let served_at = endpoint.service.served_at(now);
    let lasts = |at| missed != Missed::Unreachable || now.saturating_sub(at) <= TRUSTED;
    served_at.is_some_and(|at| at >= lost_at + LATE_REPORTS && lasts(at))
}
