//! Describes the servers of each lane and their capacity.

use trimtab_modelserver::{Profile, Spec};
use trimtab_sim::capacity;
use trimtab_workload::Demand;

/// Number of servers of a lane.
pub(super) const SERVERS: usize = 4;
/// Name of the server that is 2.5 times slower. Nothing tells the aggregator or Envoy about its
/// speed.
pub(super) const SLOW: &str = "slow";
const SLOW_SPEED: f64 = 0.4;
/// KV blocks of each server. An A100 with 40 GB has about 136,000 tokens left beside an 8B model in
/// bf16.
const KV_BLOCKS: u32 = 8_500;
/// Name of the requested model.
pub(super) const MODEL: &str = "bench-8b";
/// Time per output token that defines the fleet's capacity, as in the demo.
const TPOT_S: f64 = 0.075;

/// Returns the arguments of `trimtab model-server`.
pub(super) fn arguments() -> Vec<String> {
    let fast = SERVERS - 1;
    format!(
        "--servers {fast} --server name={SLOW},speed={SLOW_SPEED} --kv-blocks {KV_BLOCKS} --model {MODEL}"
    )
    .split(' ')
    .map(str::to_owned)
    .collect()
}

/// Returns how many requests of mean `demand` the fleet can serve per second with an ideal prefix
/// cache.
pub(super) fn requests_per_s(demand: &Demand) -> f64 {
    // The engine knows this name, so the fallback is never used.
    let profile =
        Profile::named("a100").unwrap_or_else(|| unreachable!("the engine knows the a100"));
    let server = |speed| {
        let spec = Spec {
            speed,
            kv_blocks: Some(KV_BLOCKS),
            ..Spec::new("server", profile.clone())
        };
        capacity::requests_per_s(&spec.effective_profile(), demand, TPOT_S)
    };
    server(1.0) * (SERVERS - 1) as f64 + server(SLOW_SPEED)
}

/// Returns the slow server's share of the fleet's speed. A balancer that knows speeds gives it this
/// share under full load.
pub(super) fn slow_share() -> f64 {
    SLOW_SPEED / (SLOW_SPEED + (SERVERS - 1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fleet_serves_less_of_what_costs_more() {
        let demand = |uncached_tokens| Demand {
            requests: 1,
            requests_per_session: 1.0,
            prompt_tokens: 2_000.0,
            uncached_tokens,
            output_tokens: 32.0,
            context_tokens: 2_016.0,
        };
        let (cheap, dear) = (
            requests_per_s(&demand(200.0)),
            requests_per_s(&demand(2_000.0)),
        );
        assert!(cheap > 3.0 * dear, "{cheap} {dear}");
        // Three servers and a slow one: 3.4 times one, less what the slow one's longer steps cost.
        assert!((10.0..25.0).contains(&dear), "{dear}");
    }

    #[test]
    fn the_slow_server_has_two_of_seventeen_parts() {
        assert!((slow_share() - 2.0 / 17.0).abs() < 1e-9);
    }
}
