//! Proxies with several workers, and acknowledgements that are lost.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use trimtab_sim::parse::Draft;
use trimtab_sim::{Rule, Run, percentile, run};

/// Simulates eight servers with long prompts among short ones at 80 % load, 30 s measured after
/// 5 s. `more` has the sections `deciders` and `reports`.
fn simulated(rule: Rule, more: &str) -> Run {
    let text = format!(
        "name = 'test'\nwarm_up_s = 5\nmeasured_s = 30\ngrace_s = 30\nloads = [0.8]\n\
         [[workload.mix]]\nname = 'short'\nweight = 4\n\
         [[workload.mix]]\nname = 'long'\nweight = 1\n\
         shape = {{ first_input_tokens = {{ uniform = {{ min = 6000, max = 16000 }} }} }}\n\
         [[fleet]]\nprofile = 'a100'\ncount = 8\n{more}"
    );
    let document = Draft::parse(&text)
        .unwrap()
        .check(&mut |name| Err(name.to_owned()));
    run(&document.unwrap().scenario, rule, 0.8, 7).unwrap()
}

fn p99(run: &Run) -> f64 {
    percentile(&run.ttft_s, 0.99).unwrap()
}

#[test]
fn four_workers_of_two_proxies_place_as_well_as_four_proxies_do() {
    let apart = simulated(Rule::Trimtab, "[deciders]\ncount = 4\n");
    let together = simulated(Rule::Trimtab, "[deciders]\ncount = 2\nworkers = 2\n");
    let (apart_s, together_s) = (p99(&apart), p99(&together));
    assert!(
        together_s < 1.2 * apart_s && apart_s < 1.2 * together_s,
        "{together_s} in two proxies, {apart_s} in four"
    );
    assert_eq!((apart.failed, together.failed), (0, 0));
    // The aggregator reads fewer reports: half as many polls, and as many urgent ones.
    let [apart, together] = [apart, together].map(|run| run.traffic.reports_per_s);
    assert!(together < 0.85 * apart, "{together} of {apart}");
}

#[test]
fn lost_acknowledgements_and_lost_reports_leave_a_placement_that_beats_those_without_tables() {
    let oracle = p99(&simulated(Rule::Oracle, "[deciders]\ncount = 2\n"));
    let others = p99(&simulated(
        Rule::LeastRequest,
        "[deciders]\ncount = 2\nworkers = 2\n",
    ));
    let plain = simulated(Rule::Trimtab, "[deciders]\ncount = 2\nworkers = 2\n");
    for losses in [
        "ack_loss = 0.2",
        "ack_loss = 1",
        "ack_loss = 0.2\nloss = 0.1",
    ] {
        let more = format!("[deciders]\ncount = 2\nworkers = 2\n[reports]\n{losses}\n");
        let run = simulated(Rule::Trimtab, &more);
        let p99_s = p99(&run);
        assert_eq!(run.failed, 0, "{losses}");
        assert_ne!(run.ttft_s, plain.ttft_s, "{losses} changes nothing");
        assert!(
            p99_s < 1.5 * oracle && p99_s < 0.8 * others,
            "{losses}: {p99_s}, oracle {oracle}, least request {others}"
        );
    }
}
