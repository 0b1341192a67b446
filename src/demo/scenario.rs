//! Defines the demo's traffic and its servers.

use trimtab_modelserver::{Profile, Spec};
use trimtab_sim::capacity;
use trimtab_workload::{
    Adapters, Arrivals, Component, Demand, Dist, Limits, Role, Session, Shape, SystemPrompts,
    Workload,
};

use super::stats::SLO_TPOT_S;

/// Names of the adapters, by their index in the workload.
pub(crate) const ADAPTERS: [&str; 2] = ["support-de", "legal-en"];
/// Name of the base model.
pub(crate) const MODEL: &str = "demo-8b";
/// Number of sessions that are drawn to measure the mean work of a request.
const MEASURED_SESSIONS: usize = 1_500;
/// Seed of those sessions. It is constant, so that equal `--load` gives equal rates for every seed
/// of the run.
const MEASURED_SEED: u64 = 0;

/// Returns the fleet of one lane. Its servers are uneven on purpose, because real fleets are. Every
/// lane has its own fleet.
pub(crate) fn fleet() -> Vec<Spec> {
    let server = |name: &str, profile: &Profile| Spec {
        model: MODEL.to_owned(),
        adapters: ADAPTERS.map(str::to_owned).to_vec(),
        ..Spec::new(name, profile.clone())
    };
    let fast = fast_profile();
    vec![
        server("fast-1", &fast),
        server("fast-2", &fast),
        Spec {
            speed: 0.4,
            ..server("slow", &fast)
        },
        Spec {
            kv_blocks: Some(SMALL_KV_BLOCKS),
            ..server("small-kv", &fast)
        },
    ]
}

/// KV blocks (16 tokens each) of the server with the small cache: 32,000 tokens, as an L4 has
/// beside an 8B model.
const SMALL_KV_BLOCKS: u32 = 2_000;

/// Returns the profile of the fast servers. The SLO uses their prefill time.
pub(crate) fn fast_profile() -> Profile {
    // The engine knows this name, so the fallback is never used.
    Profile::named("a100").unwrap_or_else(|| unreachable!("the engine knows the a100"))
}

/// Returns limits that fit every server of the fleet.
pub(crate) fn limits() -> Limits {
    let context = fleet()
        .iter()
        .map(Spec::context_tokens)
        .min()
        .unwrap_or(16_000);
    // Half of the smallest context. The rest also has room for the few tokens that the chat
    // template adds and the workload does not count.
    Limits {
        context_tokens: context / 2,
    }
}

/// Returns the demo's mixed traffic: conversations and agents that share system prompts, single
/// long prompts, adapters. Think times are shorter than in reality, so that a run of half a minute
/// contains whole conversations.
fn mix() -> Vec<Component> {
    let tokens = |median, sigma, max| Dist::LogNormal { median, sigma, max };
    let system = |groups, min, max| {
        Some(SystemPrompts {
            groups,
            zipf: 1.0,
            tokens: Dist::Uniform { min, max },
        })
    };
    let component = |name: &str, weight, shape| Component {
        name: name.to_owned(),
        weight,
        shape,
    };
    let chat = Shape {
        system: system(12, 500.0, 2_000.0),
        first_input_tokens: tokens(120.0, 0.9, 2_000.0),
        later_input_tokens: tokens(80.0, 0.8, 1_000.0),
        output_tokens: tokens(80.0, 0.7, 400.0),
        turns: Dist::Geometric { mean: 3.0 },
        think_s: Dist::Exponential { mean: 2.0 },
        ..Shape::default()
    };
    let agent = Shape {
        system: system(6, 1_500.0, 3_000.0),
        first_input_tokens: tokens(300.0, 0.8, 2_000.0),
        later_input_tokens: tokens(400.0, 0.7, 2_000.0),
        later_role: Role::Tool,
        output_tokens: tokens(50.0, 0.6, 200.0),
        turns: Dist::Geometric { mean: 8.0 },
        think_s: Dist::Exponential { mean: 0.7 },
        adapters: None,
    };
    let long = Shape {
        first_input_tokens: Dist::Uniform {
            min: 5_000.0,
            max: 12_000.0,
        },
        output_tokens: tokens(60.0, 0.6, 300.0),
        ..Shape::default()
    };
    let adapters = Shape {
        adapters: Some(Adapters {
            count: 2,
            zipf: 0.0,
            share: 1.0,
        }),
        ..chat.clone()
    };
    vec![
        component("chat", 5.0, chat),
        component("agent", 2.0, agent),
        component("long", 1.0, long),
        component("adapter", 1.0, adapters),
    ]
}

/// The demo's own traffic at a given load.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) workload: Workload,
    pub(crate) demand: Demand,
    /// Requests per second that the fleet can serve within the TPOT target, by the closed form of
    /// [`capacity`].
    pub(crate) capacity_rps: f64,
}

/// Chooses the rate of sessions for `load`, a fraction of the fleet's capacity.
pub(crate) fn plan(load: f64) -> anyhow::Result<Plan> {
    let mut workload = Workload {
        arrivals: Arrivals::Poisson {
            sessions_per_s: 1.0,
        },
        mix: mix(),
        limits: limits(),
    };
    let demand = Demand::measure(workload.stream(MEASURED_SEED)?, MEASURED_SESSIONS);
    let capacity_rps = fleet_capacity_rps(&demand);
    let sessions_per_s = load * capacity_rps / demand.requests_per_session;
    workload.arrivals = workload.arrivals.at_rate(sessions_per_s);
    Ok(Plan {
        workload,
        demand,
        capacity_rps,
    })
}

/// Returns how many requests of mean `demand` the whole fleet can serve per second.
pub(crate) fn fleet_capacity_rps(demand: &Demand) -> f64 {
    fleet()
        .iter()
        .map(|spec| capacity::requests_per_s(&spec.effective_profile(), demand, SLO_TPOT_S))
        .sum()
}

/// Measures the demand of a finite list of sessions. The first half fills the ideal cache; the
/// second half is measured.
pub(crate) fn demand_of(sessions: Vec<Session>) -> Demand {
    let half = (sessions.len() / 2).min(MEASURED_SESSIONS);
    if half == 0 {
        // A single session is used twice, so that there is something to measure.
        return Demand::measure(sessions.iter().chain(&sessions).cloned(), 1);
    }
    Demand::measure(sessions.into_iter(), half)
}
