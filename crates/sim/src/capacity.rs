//! Computes how many requests per second endpoints can serve, and how many sessions per second a
//! load is.

use trimtab_engine::Profile;
use trimtab_workload::trace::Replay;
use trimtab_workload::{Demand, Dist, Workload};

use crate::{Scenario, Source};

/// Share of the KV cache that live requests can fill. With more, preemptions cost what the memory
/// gains.
const USABLE_KV: f64 = 0.9;
/// Sessions drawn to measure the mean work of a request.
const WEIGHED_SESSIONS: usize = 1_500;
/// Sessions drawn to count requests alone, which is cheap. With this many, a mean of ten turns is
/// within 1 %.
const COUNTED_SESSIONS: usize = 10_000;
/// Seed of those sessions. It is constant, so that equal loads are equal rates for every seed of a
/// run.
const SEED: u64 = 0;

/// Returns the requests per second that an endpoint of this profile sustains.
///
/// - `demand`: the mean work of a request. Without work the result is 0.
/// - `tpot_s`: most seconds per output token.
///
/// A request costs `work` seconds of engine time, in addition to its part of the steps' base time.
/// At `r` requests per second a step takes `T = base / (1 - r * work)`. Two conditions limit `r`:
///
/// - Steps are no longer than the TPOT target: `r <= (1 - base / target) / work`.
/// - Live requests fit into the KV cache. Each holds `prompt + answer` tokens for `answer` steps,
///   so `r * (prompt + answer) * answer * T <= usable` gives
///   `r <= 1 / (work + (prompt + answer) * answer * base / usable)`.
///
/// Uncached tokens are those of an ideal prefix cache, so no balancer quite reaches this rate.
#[must_use]
pub fn requests_per_s(profile: &Profile, demand: &Demand, tpot_s: f64) -> f64 {
    let base_s = profile.step_base_s / profile.speed;
    let position = demand.prompt_tokens - demand.uncached_tokens / 2.0;
    let prefill = profile.prefill_s_per_token
        * demand.uncached_tokens
        * (1.0 + position / profile.attention_half_tokens);
    let per_token =
        profile.decode_s_per_sequence + profile.context_s_per_token * demand.context_tokens;
    let work_s = (prefill + demand.output_tokens * per_token) / profile.speed;
    if work_s <= 0.0 {
        return 0.0;
    }
    let compute = (1.0 - base_s / tpot_s).max(0.0) / work_s;
    let held = (demand.prompt_tokens + demand.output_tokens) * demand.output_tokens;
    let usable = USABLE_KV * profile.kv_tokens() as f64;
    compute.min(1.0 / (work_s + held * base_s / usable))
}

/// Returns the requests per second that the fleet at the start of a run can serve. This is load 1.
///
/// The value is [`crate::Traffic::capacity_per_endpoint`] times the sum of the endpoints' speeds.
/// Without that setting, it is the sum of [`requests_per_s`] over the endpoints. 0 when the
/// workload is invalid or has no work.
#[must_use]
pub fn fleet_requests_per_s(scenario: &Scenario) -> f64 {
    let groups = || {
        scenario
            .fleet
            .iter()
            .map(|group| (f64::from(group.count), &group.profile))
    };
    match scenario.traffic.capacity_per_endpoint {
        Some(capacity) => {
            capacity
                * groups()
                    .map(|(count, profile)| count * profile.speed)
                    .sum::<f64>()
        }
        None => {
            let demand = demand(&scenario.traffic.source);
            groups()
                .map(|(count, profile)| {
                    count * requests_per_s(profile, &demand, scenario.slo.tpot_s)
                })
                .sum()
        }
    }
}

/// Returns the sessions that start per second at `load`, a share of [`fleet_requests_per_s`]. A row
/// of a trace is a session of one request. 0 when the workload is invalid.
#[must_use]
pub fn sessions_per_s(scenario: &Scenario, load: f64) -> f64 {
    let requests = load * fleet_requests_per_s(scenario);
    match &scenario.traffic.source {
        Source::Trace(..) => requests,
        Source::Drawn(workload) => requests / requests_per_session(workload).max(1.0),
    }
}

/// Returns the mean requests of a session. They are counted and not computed, because a session
/// ends early when it fills its context window.
fn requests_per_session(workload: &Workload) -> f64 {
    let single = |turns: Dist| matches!(turns, Dist::Constant(count) if count <= 1.0);
    if workload
        .mix
        .iter()
        .all(|component| single(component.shape.turns))
    {
        return 1.0;
    }
    let Ok(stream) = workload.stream(SEED) else {
        return 0.0;
    };
    let requests: usize = stream.take(COUNTED_SESSIONS).map(Iterator::count).sum();
    requests as f64 / COUNTED_SESSIONS as f64
}

/// Returns the mean work of a request. The first half of the drawn sessions fills an ideal cache.
fn demand(source: &Source) -> Demand {
    match source {
        Source::Drawn(workload) => workload
            .stream(SEED)
            .map(|stream| Demand::measure(stream, WEIGHED_SESSIONS))
            .unwrap_or_default(),
        Source::Trace(trace, limits) => {
            let replay = Replay {
                time_scale: 1.0,
                limits: *limits,
            };
            let half = (trace.rows.len() / 2).min(WEIGHED_SESSIONS);
            if half == 0 {
                // A trace of a single row is read twice, so that there is something to measure.
                let sessions = || trace.sessions(SEED, replay);
                return Demand::measure(sessions().chain(sessions()), 1);
            }
            Demand::measure(trace.sessions(SEED, replay), half)
        }
    }
}

#[cfg(test)]
mod tests;
