//! Compares runs with closed forms, and checks what must hold of any run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use trimtab_engine::Profile;
use trimtab_sim::{
    Central, Change, Churn, Deciders, Errors, Group, Invalid, Page, Reports, Rule, Run, Scenario,
    Slo, Source, Tables, Traffic, percentile, run,
};
use trimtab_workload::{Arrivals, Component, Dist, Limits, Shape, Workload};

fn group(count: u32) -> Group {
    Group {
        page: Page::Whole,
        class: "a100".into(),
        count,
        profile: Profile::named("a100").unwrap(),
    }
}

/// Makes a scenario of `count` endpoints. At load 1 each serves `capacity_per_endpoint` requests
/// per second.
fn scenario(count: u32, capacity_per_endpoint: f64, shape: Shape) -> Scenario {
    let component = Component {
        name: "test".into(),
        weight: 1.0,
        shape,
    };
    let workload = Workload {
        arrivals: Arrivals::Poisson {
            sessions_per_s: 1.0,
        },
        mix: vec![component],
        limits: Limits::default(),
    };
    Scenario {
        name: "test".into(),
        fleet: vec![group(count)],
        churn: Vec::new(),
        deciders: Deciders {
            count: 5,
            workers: 1,
            tick_s: 0.0,
            zipf: 0.0,
            sticky: false,
            marked: true,
            own_endings: false,
            read_tokens: 4_000,
            read_on_tokens: 32_000,
        },
        tables: Tables {
            scrape_s: 0.2,
            publish_s: 0.05,
            delay_s: 0.005,
            delay_spread_s: 0.005,
            loss: 0.0,
            stops_at_s: None,
        },
        central: Central::default(),
        reports: Reports {
            enabled: true,
            delay_s: 0.005,
            loss: 0.0,
            ack_loss: 0.0,
            urgent_gap_s: Some(0.02),
        },
        traffic: Traffic {
            source: Source::Drawn(workload),
            capacity_per_endpoint: Some(capacity_per_endpoint),
        },
        errors: Errors::default(),
        slo: Slo::default(),
        warm_up_s: 5.0,
        measured_s: 20.0,
        grace_s: 120.0,
        loads: vec![1.0],
        seeds: vec![1],
        rules: vec![Rule::Oracle, Rule::Trimtab],
    }
}

fn chat(count: u32) -> Scenario {
    scenario(count, 10.0, Shape::default())
}

fn simulated(scenario: &Scenario, rule: Rule) -> Run {
    run(scenario, rule, 1.0, 7).unwrap()
}

fn p99(run: &Run) -> f64 {
    percentile(&run.ttft_s, 0.99).unwrap()
}

#[test]
fn an_idle_endpoint_answers_after_the_steps_that_the_prompt_needs() {
    let shape = Shape {
        first_input_tokens: Dist::Constant(3_000.0),
        output_tokens: Dist::Constant(11.0),
        ..Shape::default()
    };
    // One request in 20 s, so that requests do not overlap.
    let mut scenario = scenario(1, 0.05, shape);
    (scenario.warm_up_s, scenario.measured_s) = (0.0, 400.0);
    let run = simulated(&scenario, Rule::RoundRobin);
    let profile = Profile::named("a100").unwrap();
    let chunk = |start: f64, tokens: f64| {
        let weight = 1.0 + (start + tokens / 2.0) / profile.attention_half_tokens;
        profile.step_base_s + profile.prefill_s_per_token * tokens * weight
    };
    let expected = chunk(0.0, 2_048.0) + chunk(2_048.0, 952.0);
    assert!(run.requests > 10);
    for ttft in &run.ttft_s {
        assert!(
            (f64::from(*ttft) - expected).abs() < 1e-4,
            "{ttft} and not {expected}"
        );
    }
    let step =
        profile.step_base_s + profile.decode_s_per_sequence + profile.context_s_per_token * 3_005.0;
    let tpot = f64::from(run.tpot_s[0]);
    assert!((tpot - step).abs() < 1e-4, "{tpot} and not {step}");
    assert_eq!((run.slo_share, run.failed), (1.0, 0));
}

#[test]
fn a_run_is_the_same_whenever_it_is_made_and_another_with_another_seed() {
    for rule in Rule::ALL {
        let one = simulated(&chat(3), rule);
        assert_eq!(one, simulated(&chat(3), rule), "{}", rule.as_str());
        let other = run(&chat(3), rule, 1.0, 8).unwrap();
        assert_ne!(one.ttft_s, other.ttft_s, "{}", rule.as_str());
    }
}

#[test]
fn every_request_ends_once_under_every_rule() {
    for rule in Rule::ALL {
        let run = simulated(&chat(4), rule);
        assert_eq!(run.ttft_s.len() as u64, run.requests, "{}", rule.as_str());
        assert!(run.ttft_s.is_sorted() && run.tpot_s.is_sorted());
        assert_eq!(run.failed, 0, "{}", rule.as_str());
        // 40 requests per second for 20 s. Five standard deviations are 141.
        assert!((659..941).contains(&run.requests), "{}", run.requests);
    }
}

#[test]
fn the_oracle_is_no_worse_than_anybody_and_trimtab_close_behind() {
    let shape = Shape {
        first_input_tokens: Dist::LogNormal {
            median: 2_500.0,
            sigma: 0.5,
            max: 16_000.0,
        },
        ..Shape::default()
    };
    let scenario = scenario(8, 2.3, shape);
    let oracle = p99(&simulated(&scenario, Rule::Oracle));
    let trimtab = p99(&simulated(&scenario, Rule::Trimtab));
    for rule in [Rule::RoundRobin, Rule::LeastRequest, Rule::Random] {
        let other = p99(&simulated(&scenario, rule));
        assert!(
            oracle < other && trimtab < 0.8 * other,
            "{}: {other}",
            rule.as_str()
        );
    }
    assert!(trimtab < 1.5 * oracle, "{trimtab}, oracle {oracle}");
}

#[test]
fn a_killed_endpoint_fails_what_it_has_and_is_soon_left_alone() {
    let mut scenario = chat(4);
    scenario.churn = vec![Churn {
        at_s: 10.0,
        change: Change::Kill {
            class: "a100".into(),
            count: 1,
        },
    }];
    let run = simulated(&scenario, Rule::Trimtab);
    let quiet = simulated(&chat(4), Rule::Trimtab);
    // What the endpoint held (some 50 requests), and what was sent until three scrapes had failed.
    assert!((10..200).contains(&run.failed), "{}", run.failed);
    let (dead, before) = (run.per_endpoint[3], quiet.per_endpoint[3]);
    assert!(dead < before * 6 / 10, "{dead} of {before}");
}

#[test]
fn a_drained_endpoint_finishes_and_gets_nothing_new_and_an_added_one_gets_its_share() {
    let mut scenario = chat(4);
    let class = "a100".to_owned();
    scenario.churn = vec![
        Churn {
            at_s: 10.0,
            change: Change::Drain { class, count: 1 },
        },
        Churn {
            at_s: 10.0,
            change: Change::Add(group(1)),
        },
    ];
    let run = simulated(&scenario, Rule::Trimtab);
    assert_eq!(run.failed, 0);
    let [first, .., drained, added] = run.per_endpoint[..] else {
        panic!("five endpoints")
    };
    assert!(drained < first * 6 / 10, "{:?}", run.per_endpoint);
    assert!(added > first * 4 / 10, "{:?}", run.per_endpoint);
}

#[test]
fn without_tables_and_with_reports_lost_requests_go_on() {
    let mut scenario = chat(8);
    scenario.tables.stops_at_s = Some(2.0);
    let run = simulated(&scenario, Rule::Trimtab);
    assert_eq!(run.failed, 0);
    assert!(run.slo_share > 0.9, "{}", run.slo_share);
    let mut scenario = chat(8);
    (scenario.reports.loss, scenario.tables.loss) = (0.5, 0.5);
    let run = simulated(&scenario, Rule::Trimtab);
    assert!(run.slo_share > 0.95 && run.failed == 0, "{}", run.slo_share);
}

#[test]
fn what_cannot_be_simulated_is_an_error_that_says_why() {
    let mut broken = chat(1);
    broken.fleet[0].profile.max_num_seqs = 0;
    let error = run(&broken, Rule::Trimtab, 1.0, 1).unwrap_err();
    assert!(matches!(error, Invalid::Profile(_)) && error.to_string().contains("max_num_seqs"));
    let error = run(&chat(1), Rule::Trimtab, 0.0, 1).unwrap_err();
    assert_eq!(error, Invalid::Idle { load: 0.0 });
}
