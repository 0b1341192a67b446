//! Endpoints that fail during a run, and the requests that reach them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use trimtab_sim::parse::Draft;
use trimtab_sim::{Rule, Run, percentile, run};

/// Simulates four servers with 40 requests per second, 20 s measured after 5 s, and the given
/// changes.
fn simulated(rule: Rule, changes: &str) -> Run {
    let text = format!(
        "name = 'test'\nwarm_up_s = 5\nmeasured_s = 20\ngrace_s = 30\n\
         [workload]\nfamily = 'chat'\ncapacity_per_endpoint = 10\n\
         [[fleet]]\nprofile = 'a100'\ncount = 4\n[deciders]\ncount = 2\n{changes}"
    );
    let document = Draft::parse(&text)
        .unwrap()
        .check(&mut |name| Err(name.to_owned()));
    run(&document.unwrap().scenario, rule, 1.0, 7).unwrap()
}

fn change(at_s: u32, kind: &str, more: &str) -> String {
    format!("[[churn]]\nat_s = {at_s}\nchange = '{kind}'\nclass = 'a100'\ncount = 1\n{more}")
}

#[test]
fn a_request_whose_connection_fails_goes_to_the_next_choice() {
    let kill = change(10, "kill", "");
    for rule in [Rule::Trimtab, Rule::RoundRobin, Rule::EppCentralInFlight] {
        let run = simulated(rule, &kill);
        // At most what the endpoint held when it was killed: 10 requests per second, some 5 s each.
        assert!(
            (10..90).contains(&run.failed),
            "{}: {}",
            rule.as_str(),
            run.failed
        );
        let without_any = run.ttft_s.iter().filter(|ttft| ttft.is_infinite()).count();
        assert!(without_any < 10, "{}: {without_any}", rule.as_str());
    }
}

#[test]
fn what_hangs_keeps_its_requests_and_is_left_alone_sooner_when_its_page_hangs_too() {
    let run = |more: &str| simulated(Rule::Trimtab, &change(10, "hang", more));
    let (page_hangs, frozen) = (run("page_hangs = true\n"), run(""));
    for run in [&page_hangs, &frozen] {
        // Nothing ends these requests. They count as failed when the run is cut.
        assert!(run.failed > 10, "{}", run.failed);
    }
    assert!(page_hangs.failed < 150, "{}", page_hangs.failed);
    assert!(frozen.failed >= page_hangs.failed / 2, "{}", frozen.failed);
}

#[test]
fn who_recovers_gets_requests_again_and_what_hung_there_fails() {
    for kind in ["kill", "hang"] {
        let more = if kind == "hang" {
            "page_hangs = true\n"
        } else {
            ""
        };
        let down = change(8, kind, more);
        let gone = simulated(Rule::Trimtab, &down);
        let back = simulated(
            Rule::Trimtab,
            &format!("{down}{}", change(14, "recover", "")),
        );
        let [gone, back] = [gone, back].map(|run| run.per_endpoint[3]);
        assert!(
            back > gone + 40,
            "{kind}: {back} after it came back, {gone} else"
        );
    }
}

#[test]
fn a_throttled_endpoint_takes_longer_and_gets_less() {
    let quiet = simulated(Rule::RoundRobin, "");
    let slow = change(0, "slow", "factor = 0.3\n");
    let throttled = simulated(Rule::RoundRobin, &slow);
    let p99 = |run: &Run| percentile(&run.tpot_s, 0.99).unwrap();
    assert!(p99(&throttled) > 2.0 * p99(&quiet));
    // The speed is restored.
    let restored = simulated(
        Rule::RoundRobin,
        &format!("{slow}{}", change(1, "slow", "factor = 3.3333333\n")),
    );
    assert!(p99(&restored) < 1.2 * p99(&quiet));
    let told = simulated(Rule::Trimtab, &slow).per_endpoint;
    assert!(told[3] * 2 < told[0], "{told:?}");
}

#[test]
fn nothing_goes_to_an_endpoint_that_is_known_to_drain() {
    let drain = change(10, "drain", "");
    for rule in [Rule::Trimtab, Rule::LeastRequest] {
        assert_eq!(simulated(rule, &drain).after_drain, 0, "{}", rule.as_str());
    }
}

#[test]
fn predictions_are_held_against_what_came_where_the_rule_makes_any() {
    let prediction = simulated(Rule::Trimtab, "").prediction;
    let (p50, p90) = (
        prediction.missed_p50_s.unwrap(),
        prediction.missed_p90_s.unwrap(),
    );
    assert!(p50 <= p90 && p90 < 1.0, "{prediction:?}");
    assert!(prediction.missed_share_p50.unwrap() > 0.0, "{prediction:?}");
    let silent = simulated(Rule::LeastRequest, "").prediction;
    assert_eq!(silent.missed_p50_s, None);
}

#[test]
fn who_joins_with_a_page_that_says_nothing_gets_its_share_soon() {
    for page in ["whole", "from_first_request", "unreadable"] {
        let joins = format!(
            "[[churn]]\nat_s = 10\nchange = 'add'\nprofile = 'a100'\nclass = 'a100'\ncount = 1\npage = '{page}'\n"
        );
        let shares = simulated(Rule::Trimtab, &joins).per_endpoint;
        // A fifth of 40 requests per second for 15 s.
        let (joined, fair) = (shares[4], 120);
        assert!(
            joined > fair * 2 / 3 && joined < fair * 3 / 2,
            "{page}: {shares:?}"
        );
    }
}

#[test]
fn in_a_rollout_whose_pages_nobody_can_read_the_new_servers_take_over() {
    let add = "[[churn]]\nat_s = 8\nchange = 'add'\nprofile = 'a100'\nclass = 'new'\ncount = 4\npage = 'unreadable'\n";
    let drain = "[[churn]]\nat_s = 12\nchange = 'drain'\nclass = 'a100'\ncount = 4\n";
    let run = simulated(Rule::Trimtab, &format!("{add}{drain}"));
    assert_eq!((run.failed, run.after_drain), (0, 0));
    let taken: u64 = run.per_endpoint[4..].iter().sum();
    assert!(taken > 450, "{:?}", run.per_endpoint);
    let (least, most) = run.per_endpoint[4..]
        .iter()
        .fold((u64::MAX, 0), |(least, most), got| {
            (least.min(*got), most.max(*got))
        });
    assert!(most < 2 * least, "{:?}", run.per_endpoint);
}
