use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Parser;
use serde_json::Value;
use trimtab_sim::{Invalid, Prediction, Run, Scenario, TrafficCounts};

use super::*;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn args(line: &[&str]) -> Args {
    Cli::try_parse_from(std::iter::once(&"sim").chain(line))
        .unwrap()
        .args
}

/// Returns a run without a simulation. The oracle takes 1 s, every other rule as many seconds as
/// the seed.
fn stub(scenario: &Scenario, rule: Rule, load: f64, seed: u64) -> Result<Run, Invalid> {
    let slowest_s = if rule == Rule::Oracle {
        1.0
    } else {
        seed as f32
    };
    Ok(Run {
        scenario: scenario.name.clone(),
        rule,
        seed,
        deciders: scenario.deciders.count,
        load,
        requests: 100,
        failed: 0,
        ttft_s: (1..=100).map(|n| n as f32 / 100.0 * slowest_s).collect(),
        tpot_s: vec![0.02],
        e2e_s: (1..=100).map(|n| n as f32 / 50.0 * slowest_s).collect(),
        slo_share: 0.95,
        hit_ratio: 0.5,
        per_endpoint: vec![1; 4],
        after_drain: 0,
        prediction: Prediction::default(),
        traffic: TrafficCounts::default(),
    })
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

const CHAT: &str = "name = 'chat'\nseeds = [2, 4]\nrules = ['power_of_two']\n\
    [workload]\nfamily = 'chat'\ncapacity_per_endpoint = 19\n\
    [expected]\npower_of_two = { p99_ratio_max = 3.2 }\n";

fn rag() -> String {
    CHAT.replace("chat", "rag").replace("[2, 4]", "[1]")
}

#[test]
fn the_example_is_a_scenario_that_names_every_default() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "example.toml", EXAMPLE);
    let loaded = load::files(&args(&[&file, "--expect"])).unwrap();
    let scenario = &loaded[0].document.scenario;
    // Every value that the file calls a default must be one. So a file with the required keys alone
    // must give the same scenario.
    let least = "name = 'example'\n[workload]\nfamily = 'sysg'\ncapacity_per_endpoint = 12.5\n";
    let least = write(folder.path(), "least.toml", least);
    let loaded_least = load::files(&args(&[&least])).unwrap();
    let mut default = loaded_least[0].document.scenario.clone();
    assert!(
        scenario
            .rules
            .iter()
            .all(|rule| default.rules.contains(rule))
    );
    // These keys are examples, not defaults.
    default.fleet.clone_from(&scenario.fleet);
    default.churn.clone_from(&scenario.churn);
    default.rules.clone_from(&scenario.rules);
    assert_eq!(*scenario, default);
}

#[test]
fn results_are_the_same_and_in_order_whatever_the_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (
        write(folder.path(), "a.toml", CHAT),
        write(folder.path(), "b.toml", &rag()),
    );
    let result = |jobs: &str| {
        let file = folder.path().join(format!("out/{jobs}.json"));
        let shown = file.display().to_string();
        let args = args(&[&a, &b, "--jobs", jobs, "--json", &shown]);
        let loaded = load::files(&args).unwrap();
        // The first tasks take longest, so with several threads they end last.
        let begun = AtomicUsize::new(0);
        let slow_first = |scenario: &Scenario, rule: Rule, load: f64, seed: u64| {
            let turn = begun.fetch_add(1, Ordering::Relaxed) as u64;
            thread::sleep(std::time::Duration::from_millis(
                30_u64.saturating_sub(5 * turn),
            ));
            stub(scenario, rule, load, seed)
        };
        simulate(&args, &loaded, &slow_first).unwrap();
        std::fs::read_to_string(file).unwrap()
    };
    let single = result("1");
    assert_eq!(single, result("4"));
    let value: Value = serde_json::from_str(&single).unwrap();
    let order: Vec<_> = value["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| format!("{} {} {}", run["scenario"], run["policy"], run["seed"]))
        .collect();
    let expected = [
        r#""chat" "oracle" 2"#,
        r#""chat" "oracle" 4"#,
        r#""chat" "power_of_two" 2"#,
        r#""chat" "power_of_two" 4"#,
        r#""rag" "oracle" 1"#,
        r#""rag" "power_of_two" 1"#,
    ];
    assert_eq!(order, expected);
}

#[test]
fn a_missed_band_fails_and_a_held_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "a.toml", CHAT);
    let status = |line: &[&str]| {
        let args = args(&[&[file.as_str(), "--expect"], line].concat());
        let loaded = load::files(&args)?;
        simulate(&args, &loaded, &stub).map(|code| format!("{code:?}"))
    };
    let (held, missed) = (
        format!("{:?}", ExitCode::SUCCESS),
        format!("{:?}", ExitCode::from(1)),
    );
    // Seeds 2 and 4 take three times as long as the oracle.
    assert_eq!(status(&[]).unwrap(), held);
    assert_eq!(status(&["--seeds", "4,6"]).unwrap(), missed);
    assert_eq!(status(&["--seeds", "4,6", "--slack", "0.6"]).unwrap(), held);
    // The band's rule was left out. Then nothing was checked, and that is an error.
    assert!(status(&["--rules", "random"]).is_err());
    let set = "--set=rules=[\"random\"]";
    assert_eq!(status(&[set]).unwrap(), missed);
}

#[test]
fn the_problems_of_every_file_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let good = write(folder.path(), "good.toml", CHAT);
    let twin = write(folder.path(), "twin.toml", CHAT);
    let bad = write(
        folder.path(),
        "bad.toml",
        "name = 'x'\nlaods = 3\n[workload]\nfamily = 'chat'\n",
    );
    let traced = write(
        folder.path(),
        "traced.toml",
        "name = 'y'\n[workload]\ntrace = 'none.csv'\n",
    );
    let args = args(&[&good, &twin, &bad, &traced, "/no/such.toml", "--expect"]);
    let told = load::files(&args).unwrap_err().to_string();
    for wanted in [
        "good.toml too; files are named after it",
        "bad.toml: laods: 3: is not a known field; did you mean `loads`?",
        "traced.toml: workload.trace: \"none.csv\": ",
        "none.csv cannot be read",
        "/no/such.toml: file: /no/such.toml cannot be read",
    ] {
        assert!(told.contains(wanted), "{wanted:?} is not in:\n{told}");
    }
    let unbanded = write(
        folder.path(),
        "none.toml",
        "name = 'z'\n[workload]\nfamily = 'chat'\n",
    );
    let told = load::files(&self::args(&[&unbanded, "--expect"])).unwrap_err();
    assert!(told.to_string().contains("expected: is missing"), "{told}");
}

#[test]
fn arguments_are_checked_as_keys_of_the_file_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "a.toml", CHAT);
    let line = [
        &file,
        "--rules",
        "trimtab,random",
        "--loads",
        "0.5,0.6",
        "--seeds",
        "3",
        "--deciders",
        "7",
        "--set",
        "tables.scrape_s=0.5",
        "--quick",
    ];
    let loaded = load::files(&args(&line)).unwrap();
    let scenario = &loaded[0].document.scenario;
    assert_eq!(scenario.rules, [Rule::Oracle, Rule::Trimtab, Rule::Random]);
    assert_eq!(
        (&scenario.loads, &scenario.seeds),
        (&vec![0.5, 0.6], &vec![1, 2])
    );
    assert_eq!(
        (scenario.deciders.count, scenario.tables.scrape_s),
        (7, 0.5)
    );
    assert_eq!((scenario.warm_up_s, scenario.measured_s), (25.0, 20.0));
    for (line, wanted) in [
        (["--rules", "best"], "rules"),
        (["--loads", "85"], "loads"),
        (["--seeds", "x"], "seeds"),
        (["--deciders", "0"], "deciders.count"),
        (["--set", "tables.scrap_s=1"], "did you mean `scrape_s`?"),
        (["--set", "tables"], "has no ="),
    ] {
        let told = load::files(&args(&[&[file.as_str()], &line[..]].concat())).unwrap_err();
        assert!(
            told.to_string().contains(wanted),
            "{wanted:?} is not in: {told}"
        );
    }
}

#[test]
fn tables_pictures_and_csv_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "a.toml", CHAT);
    let out = folder.path().join("out");
    let (svg, csv) = (
        out.display().to_string(),
        out.join("runs.csv").display().to_string(),
    );
    let args = args(&[&file, "--loads", "0.5,0.6", "--svg", &svg, "--csv", &csv]);
    simulate(&args, &load::files(&args).unwrap(), &stub).unwrap();
    for name in ["chat-0.5.svg", "chat-0.6.svg", "chat-sweep.svg"] {
        let svg = std::fs::read_to_string(out.join(name)).unwrap();
        assert!(
            svg.contains("oracle") && svg.contains("power_of_two"),
            "{name}"
        );
    }
    // One header, two loads, two rules, two seeds.
    assert_eq!(std::fs::read_to_string(csv).unwrap().lines().count(), 9);
}

#[test]
fn what_cannot_be_written_stops_the_batch_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "a.toml", CHAT);
    let place = folder.path().join("a.toml/x.json").display().to_string();
    let args = args(&[&file, "--json", &place]);
    let error = simulate(&args, &load::files(&args).unwrap(), &stub).unwrap_err();
    assert!(format!("{error:#}").contains("a.toml"), "{error:#}");
}
