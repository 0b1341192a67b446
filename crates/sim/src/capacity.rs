//! How many requests per second endpoints can take, in closed form, and what a load is in sessions per second.

use trimtab_engine::Profile;
use trimtab_workload::trace::Replay;
use trimtab_workload::{Demand, Dist, Workload};

use crate::{Scenario, Source};

/// Share of the KV cache that live requests can fill before preemptions eat what they gain.
const USABLE_KV: f64 = 0.9;
/// Sessions drawn to measure the mean work of a request.
const WEIGHED_SESSIONS: usize = 1_500;
/// Sessions drawn to count requests alone, which is cheap; the mean of ten turns is then within 1 %.
const COUNTED_SESSIONS: usize = 10_000;
/// Seed of those sessions: always the same, so that equal loads are equal rates whatever the seed of the run.
const SEED: u64 = 0;

/// Requests of mean `demand` per second that an endpoint of this profile sustains with at most `tpot_s` seconds per output
/// token; 0 when there is no demand.
///
/// A request costs `work` seconds of engine time beside the base of the steps that it shares with others. At `r` requests
/// per second a step takes `T = base / (1 - r * work)`, and two things bound `r`:
/// * steps no longer than the TPOT target: `r <= (1 - base / target) / work`;
/// * live requests within the KV cache: each holds `prompt + answer` tokens for `answer` steps, so
///   `r * (prompt + answer) * answer * T <= usable` gives `r <= 1 / (work + (prompt + answer) * answer * base / usable)`.
///
/// Uncached tokens are those of an ideal prefix cache, so no balancer quite reaches it.
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

/// Requests per second that the fleet at the start of the run is said to serve: what load 1 is.
///
/// [`crate::Traffic::capacity_per_endpoint`] times the sum of the endpoints' speeds; without it, the sum of
/// [`requests_per_s`] over the endpoints. 0 when the workload is not valid or asks for nothing.
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

/// Sessions that start per second at `load`, a share of [`fleet_requests_per_s`]. A row of a trace is a session of one
/// request. 0 when the workload is not valid.
#[must_use]
pub fn sessions_per_s(scenario: &Scenario, load: f64) -> f64 {
    let requests = load * fleet_requests_per_s(scenario);
    match &scenario.traffic.source {
        Source::Trace(..) => requests,
        Source::Drawn(workload) => requests / requests_per_session(workload).max(1.0),
    }
}

/// Mean requests of a session; sessions that fill their context window end early, so it is counted and not computed.
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

/// Mean work of a request, with the first half of the drawn sessions in an ideal cache.
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
                // A single row: twice, so that there is something to measure.
                let sessions = || trace.sessions(SEED, replay);
                return Demand::measure(sessions().chain(sessions()), 1);
            }
            Demand::measure(trace.sessions(SEED, replay), half)
        }
    }
}

#[cfg(test)]
mod tests;
