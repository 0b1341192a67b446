//! How many requests per second a server can take, in closed form.

use trimtab_modelserver::Profile;
use trimtab_workload::Demand;

use super::stats::SLO_TPOT_S;

/// Share of the KV cache that live requests can fill before preemptions eat what they gain.
const USABLE_KV: f64 = 0.9;

/// Requests of mean `demand` per second that a server of this profile sustains; 0 when there is no demand.
///
/// A request costs `work` seconds of engine time beside the base of the steps that it shares with others. At `r` requests
/// per second a step takes `T = base / (1 - r * work)`, and two things bound `r`:
/// * steps no longer than the TPOT target: `r <= (1 - base / target) / work`;
/// * live requests within the KV cache: each holds `prompt + answer` tokens for `answer` steps, so
///   `r * (prompt + answer) * answer * T <= usable` gives `r <= 1 / (work + (prompt + answer) * answer * base / usable)`.
///
/// Uncached tokens are those of an ideal prefix cache, so no balancer quite reaches it.
pub(crate) fn requests_per_s(profile: &Profile, demand: &Demand) -> f64 {
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
    let compute = (1.0 - base_s / SLO_TPOT_S).max(0.0) / work_s;
    let held = (demand.prompt_tokens + demand.output_tokens) * demand.output_tokens;
    let usable = USABLE_KV * profile.kv_tokens() as f64;
    compute.min(1.0 / (work_s + held * base_s / usable))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand() -> Demand {
        Demand {
            prompt_tokens: 1_000.0,
            uncached_tokens: 1_000.0,
            output_tokens: 100.0,
            context_tokens: 1_050.0,
            ..Demand::default()
        }
    }

    #[test]
    fn a_server_at_capacity_has_steps_as_long_as_the_target() {
        let profile = Profile::named("a100").unwrap();
        let rate = requests_per_s(&profile, &demand());
        let prefill = 1_000.0 * 85e-6 * (1.0 + 500.0 / 32_000.0);
        let work = prefill + 100.0 * (85e-6 + 65e-9 * 1_050.0);
        let step_s = 0.010 / (1.0 - rate * work);
        assert!((step_s - SLO_TPOT_S).abs() < 1e-9, "{step_s}");
    }

    #[test]
    fn slower_and_smaller_servers_take_less() {
        let fast = Profile::named("a100").unwrap();
        let slow = Profile {
            speed: 0.4,
            ..fast.clone()
        };
        let small = Profile {
            kv_blocks: 500,
            ..fast.clone()
        };
        let [fast, slow, small] =
            [fast, slow, small].map(|profile| requests_per_s(&profile, &demand()));
        assert!(slow < 0.4 * fast && slow > 0.25 * fast, "{slow} of {fast}");
        assert!(small < fast, "{small} of {fast}");
        assert_eq!(
            requests_per_s(&Profile::named("l4").unwrap(), &Demand::default()),
            0.0
        );
    }
}
