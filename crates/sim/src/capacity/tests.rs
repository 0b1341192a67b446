use trimtab_workload::Arrivals;

use super::*;
use crate::parse::Draft;

const TPOT_S: f64 = 0.075;

fn work() -> Demand {
    Demand {
        prompt_tokens: 1_000.0,
        uncached_tokens: 1_000.0,
        output_tokens: 100.0,
        context_tokens: 1_050.0,
        ..Demand::default()
    }
}

fn scenario(toml: &str) -> Scenario {
    let draft = Draft::parse(toml).unwrap();
    draft
        .check(&mut |_| Err("no trace here".to_owned()))
        .unwrap()
        .scenario
}

#[test]
fn a_server_at_capacity_has_steps_as_long_as_the_target() {
    let profile = Profile::named("a100").unwrap();
    let rate = requests_per_s(&profile, &work(), TPOT_S);
    let prefill = 1_000.0 * 85e-6 * (1.0 + 500.0 / 32_000.0);
    let work = prefill + 100.0 * (85e-6 + 65e-9 * 1_050.0);
    let step_s = 0.010 / (1.0 - rate * work);
    assert!((step_s - TPOT_S).abs() < 1e-9, "{step_s}");
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
        [fast, slow, small].map(|profile| requests_per_s(&profile, &work(), TPOT_S));
    assert!(slow < 0.4 * fast && slow > 0.25 * fast, "{slow} of {fast}");
    assert!(small < fast, "{small} of {fast}");
    let nothing = Demand::default();
    assert_eq!(
        requests_per_s(&Profile::named("l4").unwrap(), &nothing, TPOT_S),
        0.0
    );
}

#[test]
fn a_given_capacity_counts_per_unit_of_speed() {
    let mixed = "name = 'a'\nworkload = { family = 'chat', capacity_per_endpoint = 10 }\n\
        fleet = [{ class = 'x', count = 3 }, { class = 'y', count = 5, speed = 0.4 }]";
    let fleet = scenario(mixed);
    assert!((fleet_requests_per_s(&fleet) - 50.0).abs() < 1e-9);
    // With one request per session the two rates are equal.
    assert!((sessions_per_s(&fleet, 0.8) - 40.0).abs() < 1e-9);
}

#[test]
fn a_conversation_spreads_its_requests_over_fewer_sessions() {
    let multi = scenario("name = 'a'\nworkload = { family = 'multi', capacity_per_endpoint = 14 }");
    let requests = fleet_requests_per_s(&multi);
    assert!((requests - 14.0 * 32.0).abs() < 1e-9);
    // The number of turns is geometric with mean 5.5. The context window cuts some sessions short.
    let per_session = requests / sessions_per_s(&multi, 1.0);
    assert!((5.2..5.7).contains(&per_session), "{per_session}");
    // Compare with the stream itself, from another seed.
    let workload = Workload::preset(
        "multi",
        Arrivals::Poisson {
            sessions_per_s: 1.0,
        },
    )
    .unwrap();
    let drawn: usize = workload
        .stream(9)
        .unwrap()
        .take(20_000)
        .map(Iterator::count)
        .sum();
    assert!((per_session / (drawn as f64 / 20_000.0) - 1.0).abs() < 0.03);
}

#[test]
fn a_capacity_that_is_not_given_is_that_of_the_profiles() {
    let text = "name = 'a'\nworkload = { family = 'rag' }\n\
        fleet = [{ profile = 'a100', count = 2 }, { profile = 'h100', count = 1 }]";
    let mut fleet = scenario(text);
    let Source::Drawn(workload) = &fleet.traffic.source else {
        panic!("not drawn");
    };
    let demand = Demand::measure(workload.stream(SEED).unwrap(), WEIGHED_SESSIONS);
    let each = ["a100", "h100"]
        .map(|name| requests_per_s(&Profile::named(name).unwrap(), &demand, TPOT_S));
    let expected = 2.0 * each[0] + each[1];
    // First as the parser stored it, then as it is computed without a stored value.
    assert!((fleet_requests_per_s(&fleet) / expected - 1.0).abs() < 1e-9);
    fleet.traffic.capacity_per_endpoint = None;
    assert!((fleet_requests_per_s(&fleet) / expected - 1.0).abs() < 1e-9);
}
