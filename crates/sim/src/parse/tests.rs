use std::fmt::Write as _;

use super::*;
use crate::{Change, Source};
use trimtab_workload::{Arrivals, Dist, Workload};

const SMALLEST: &str = "name = 'a'\n[workload]\nfamily = 'chat'\n";

fn check(text: &str) -> Result<Document, Problems> {
    Draft::parse(text)?.check(&mut |_| Err("no trace here".to_owned()))
}

/// Returns the problems of `text`, one per line.
fn problems(text: &str) -> String {
    check(text).map(drop).unwrap_err().to_string()
}

fn workload(text: &str) -> Workload {
    match check(text).unwrap().scenario.traffic.source {
        Source::Drawn(workload) => workload,
        Source::Trace(..) => panic!("a trace"),
    }
}

#[test]
fn a_name_and_a_family_are_the_setting_of_the_study() {
    let Document { scenario, expected } = check(SMALLEST).unwrap();
    assert_eq!(expected, []);
    assert_eq!(scenario.fleet.len(), 1);
    let group = &scenario.fleet[0];
    assert_eq!((group.class.as_str(), group.count), ("a100", 32));
    assert_eq!(
        (scenario.deciders.count, scenario.tables.scrape_s),
        (100, 0.2)
    );
    assert_eq!((scenario.warm_up_s, scenario.measured_s), (25.0, 60.0));
    assert_eq!(
        (scenario.loads, scenario.seeds),
        (vec![0.85], vec![1, 2, 3, 4, 5])
    );
    assert_eq!(scenario.rules, USUAL_RULES);
    assert!(scenario.reports.enabled && scenario.reports.urgent_gap_s == Some(0.02));
    // Conversations need a longer warm-up.
    let multi =
        check("name = 'a'\n[workload]\nfamily = 'multi'\ncapacity_per_endpoint = 14\n").unwrap();
    assert_eq!(multi.scenario.warm_up_s, 70.0);
}

#[test]
fn every_family_makes_a_scenario() {
    for (family, _) in trimtab_workload::FAMILIES {
        // The file sets the capacity, because measuring conversations takes a while.
        let text =
            format!("name = 'a'\n[workload]\nfamily = '{family}'\ncapacity_per_endpoint = 7\n");
        let scenario = check(&text).unwrap().scenario;
        assert_eq!(
            scenario.traffic.capacity_per_endpoint,
            Some(7.0),
            "{family}"
        );
    }
    let computed = check(SMALLEST).unwrap().scenario.traffic;
    let per_s = computed.capacity_per_endpoint.unwrap();
    assert!((10.0..30.0).contains(&per_s), "{per_s}");
}

#[test]
fn lists_and_counts_are_what_they_say() {
    let head =
        "loads = [0.5, 0.9]\nseeds = [7, 3]\nrules = ['power_of_two', 'trimtab', 'power_of_two']\n";
    let scenario = check(&format!("{head}{SMALLEST}")).unwrap().scenario;
    assert_eq!(
        (scenario.loads, scenario.seeds),
        (vec![0.5, 0.9], vec![7, 3])
    );
    assert_eq!(
        scenario.rules,
        [Rule::Oracle, Rule::PowerOfTwo, Rule::Trimtab]
    );
    let scenario = check(&format!("loads = 1\nseeds = 2\n{SMALLEST}"))
        .unwrap()
        .scenario;
    assert_eq!((scenario.loads, scenario.seeds), (vec![1.0], vec![1, 2]));
}

#[test]
fn parameters_of_a_family_can_be_had_otherwise() {
    let text = format!(
        "{SMALLEST}output_tokens = {{ constant = 7 }}\nturns = {{ geometric = {{ mean = 3 }} }}\ncapacity_per_endpoint = 9\n\
         bursts = {{ busy_ratio = 3, busy_s = 1, quiet_s = 4 }}\ncontext_tokens = 4000\n"
    );
    let read = workload(&text);
    let shape = &read.mix[0].shape;
    assert_eq!(
        (shape.output_tokens, shape.turns),
        (Dist::Constant(7.0), Dist::Geometric { mean: 3.0 })
    );
    assert_eq!(read.limits.context_tokens, 4_000);
    let bursts = Arrivals::Bursts {
        sessions_per_s: 1.0,
        busy_ratio: 3.0,
        busy_s: 1.0,
        quiet_s: 4.0,
    };
    assert_eq!(read.arrivals, bursts);
    let mixed = workload(
        "name = 'a'\n[[workload.mix]]\nname = 'x'\nweight = 2\nshape = { turns = { constant = 2 } }\n",
    );
    assert_eq!(mixed.mix[0].shape.turns, Dist::Constant(2.0));
}

#[test]
fn fleet_and_churn_are_read_and_churn_is_sorted() {
    let text = format!(
        "{SMALLEST}[[fleet]]\nprofile = 'h100'\ncount = 3\nspeed = 0.4\nkv_tokens = 160000\nmax_num_seqs = 64\n\
         [[churn]]\nat_s = 50\nchange = 'kill'\nclass = 'new'\ncount = 1\n\
         [[churn]]\nat_s = 40\nchange = 'add'\nclass = 'new'\ncount = 2\n"
    );
    let scenario = check(&text).unwrap().scenario;
    let group = &scenario.fleet[0];
    assert_eq!(
        (group.class.as_str(), group.profile.kv_blocks),
        ("h100-x0.4", 10_000)
    );
    assert_eq!((group.profile.speed, group.profile.max_num_seqs), (0.4, 64));
    assert!(matches!(&scenario.churn[0].change, Change::Add(group) if group.count == 2));
    assert!(matches!(
        scenario.churn[1].change,
        Change::Kill { count: 1, .. }
    ));
}

#[test]
fn endpoints_can_hang_recover_and_slow_down() {
    let change = |kind: &str, more: &str| {
        let text = format!(
            "{SMALLEST}[[churn]]\nat_s = 5\nchange = '{kind}'\nclass = 'a100'\ncount = 2\n{more}\n"
        );
        check(&text).map(|document| document.scenario.churn[0].change.clone())
    };
    let (class, count) = ("a100".to_owned(), 2);
    let hang = |page_hangs| Change::Hang {
        class: class.clone(),
        count,
        page_hangs,
    };
    assert_eq!(change("hang", "").unwrap(), hang(false));
    assert_eq!(change("hang", "page_hangs = true").unwrap(), hang(true));
    let recover = change("recover", "").unwrap();
    assert_eq!(recover.class(), Some("a100"));
    let slow = change("slow", "factor = 0.5").unwrap();
    assert!(matches!(
        slow,
        Change::Slow {
            factor: 0.5,
            count: 2,
            ..
        }
    ));
    let told = change("slow", "").unwrap_err().to_string();
    assert!(told.contains("churn[0].factor: is required"), "{told}");
    let told = change("hang", "factor = 2").unwrap_err().to_string();
    assert!(told.contains("factor: 2: is not a known field"), "{told}");
}

#[test]
fn every_problem_is_told_at_once_with_field_value_and_fix() {
    let text = "name = 'a/b'\nlaods = 1\nloads = [0.5, 7]\nseeds = 0\nrules = ['best']\n\
        [workload]\nfamily = 'chta'\nturns = { gometric = 2 }\n[tables]\nloss = 2\n\
        [[fleet]]\ncount = 0\nprofile = 'a1000'\n[expected]\ntrimtap = { p99_ratio_max = 1 }\n";
    let told = problems(text);
    for wanted in [
        "name: \"a/b\": may hold",
        "laods: 1: is not a known field; did you mean `loads`?",
        "loads: a list of 2: holds 7",
        "seeds: 0: is not a whole number from 1",
        "rules: a list of 1: holds \"best\"",
        "workload.family: \"chta\": is no family; known are chat, rag",
        "workload.turns: an object of 1 field: unknown variant `gometric`",
        "tables.loss: 2: is not within 0.0 to 1.0",
        "fleet[0].count: 0: is not within 1",
        "fleet[0].profile: \"a1000\": is no accelerator; known are l4",
        "expected.trimtap: an object of 1 field: is not a known field; did you mean `trimtab`?",
    ] {
        assert!(told.contains(wanted), "{wanted:?} is not in:\n{told}");
    }
    assert_eq!(told.lines().count(), 11, "{told}");
}

#[test]
fn what_does_not_fit_together_is_refused() {
    for (text, wanted) in [
        (
            "[[fleet]]\ncount = 2\nkv_tokens = 8000\n",
            "a request may have 32000",
        ),
        (
            "adapters = { count = 2, zipf = 0, share = 1 }\n[[fleet]]\ncount = 1\nadapter_slots = 0\n",
            "no adapter_slots",
        ),
        (
            "[[churn]]\nat_s = 1\nchange = 'drain'\nclass = 'h100'\ncount = 1\n",
            "\"h100\" is no class of the fleet; known are a100",
        ),
        (
            "mix = [{ name = 'x', weight = 1 }]\n",
            "has a family and a mix",
        ),
        ("[slo]\ntpot_s = 0.001\n", "a run would have 0.0 requests"),
        (
            "turns = { geometric = { mean = 0.5 } }\n",
            "mean of a geometric is below 1",
        ),
    ] {
        let told = problems(&format!("{SMALLEST}{text}"));
        assert!(told.contains(wanted), "{wanted:?} is not in:\n{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    let told = problems("name = 'a'\n");
    assert!(
        told.contains("workload: is required") && told.lines().count() == 1,
        "{told}"
    );
}

#[test]
fn what_is_too_much_for_a_machine_is_refused() {
    for (text, wanted) in [
        ("[[fleet]]\ncount = 10001\n", "fleet[0].count"),
        (
            "[[fleet]]\ncount = 10000\nkv_tokens = 100000000\n",
            "KV caches hold",
        ),
        (
            "[[fleet]]\ncount = 6000\n[[fleet]]\ncount = 6000\n",
            "12000 endpoints",
        ),
        ("capacity_per_endpoint = 90000\n", "at most 10000000"),
        (
            "system = { groups = 900000, zipf = 1, tokens = { constant = 300 } }\n",
            "900000 groups",
        ),
    ] {
        let told = problems(&format!("{SMALLEST}{text}"));
        assert!(told.contains(wanted), "{wanted:?} is not in:\n{told}");
    }
    let told = problems(&format!(
        "{SMALLEST}[deciders]\ncount = 10000\n[[fleet]]\ncount = 5000\n"
    ));
    assert!(told.contains("10000 workers know 5000 endpoints"), "{told}");
    let told = problems(&format!(
        "seeds = 1000\nloads = [0.5, 0.6, 0.7]\n{SMALLEST}"
    ));
    assert!(told.contains("15000 runs"), "{told}");
    let long = "#".repeat(MOST_TEXT_BYTES + 1);
    assert!(Draft::parse(&long).is_err());
    // Deep nesting must give an error, not overflow the stack.
    let deep = format!("a = {}", "[".repeat(100_000));
    assert!(Draft::parse(&deep).is_err());
}

#[test]
fn text_that_is_no_toml_is_named_by_its_line() {
    let told = Draft::parse("name = 'a'\nloads = = 1\n")
        .unwrap_err()
        .to_string();
    assert!(told.starts_with("line 2: is not TOML"), "{told}");
}

#[test]
fn a_trace_is_asked_for_by_its_name_and_its_problems_are_told() {
    let text = "name = 'a'\n[workload]\ntrace = 'x.csv'\n";
    let mut asked = Vec::new();
    let mut rows = "TIMESTAMP,ContextTokens,GeneratedTokens\n".to_owned();
    for second in 0..50 {
        let _ = writeln!(rows, "2023-11-16 18:17:{second:02},2000,100");
    }
    let document = Draft::parse(text).unwrap().check(&mut |name| {
        asked.push(name.to_owned());
        Ok(rows.clone().into_bytes())
    });
    let scenario = document.unwrap().scenario;
    assert_eq!(asked, ["x.csv"]);
    assert!(matches!(&scenario.traffic.source, Source::Trace(trace, _) if trace.rows.len() == 50));
    assert!(scenario.traffic.capacity_per_endpoint.unwrap() > 1.0);
    let refused = |bytes: &[u8]| {
        let draft = Draft::parse(text).unwrap();
        let told = draft.check(&mut |_| Ok(bytes.to_vec())).unwrap_err();
        told.to_string()
    };
    assert!(refused(b"a,b").contains("trace line 1"));
    let one = b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,1,1\n";
    assert!(refused(one).contains("all its requests at the same time"));
    assert!(problems(text).contains("workload.trace: \"x.csv\": no trace here"));
    let both = problems("name = 'a'\n[workload]\ntrace = 'x'\nfamily = 'chat'\n");
    assert!(both.contains("workload.family: \"chat\": is not a known field"));
}

#[test]
fn bands_are_read() {
    let text = format!(
        "{SMALLEST}[expected]\npower_of_two = {{ slo_share_min = 0.5 }}\ntrimtab = {{ p99_ratio_max = 1.5 }}\n"
    );
    let expected = check(&text).unwrap().expected;
    let rules: Vec<Rule> = expected.iter().map(|band| band.rule).collect();
    assert_eq!(rules, [Rule::Trimtab, Rule::PowerOfTwo]);
    assert_eq!(
        (expected[0].p99_ratio_max, expected[0].slo_share_min),
        (Some(1.5), None)
    );
}

#[test]
fn any_key_can_be_overridden_before_the_check() {
    let mut draft = Draft::parse(&format!(
        "{SMALLEST}[[fleet]]\ncount = 2\n[[fleet]]\ncount = 3\n"
    ))
    .unwrap();
    for (path, value) in [
        ("tables.scrape_s", "0.5"),
        ("fleet.1.count", "9"),
        ("workload.family", "rag"),
        ("loads", "[0.5, 0.6]"),
        ("expected.trimtab.p99_ratio_max", "2"),
    ] {
        draft.set(path, value).unwrap();
    }
    let Document { scenario, expected } = draft.check(&mut |_| Err(String::new())).unwrap();
    assert_eq!(
        (scenario.tables.scrape_s, scenario.fleet[1].count),
        (0.5, 9)
    );
    assert_eq!((scenario.loads.len(), expected.len()), (2, 1));
    for (path, value) in [
        ("fleet.2.count", "1"),
        ("name.x", "1"),
        ("", "1"),
        ("a..b", "1"),
        ("seeds", "= 1"),
        ("seeds", "1\nx = 2"),
        ("seeds", ""),
    ] {
        assert!(draft.set(path, value).is_err(), "{path} {value}");
    }
}
