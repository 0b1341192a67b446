//! Runs every scenario of benches/scenarios in short, and compares trimtab and the oracle with the
//! file's bands.
//!
//! This takes minutes without optimisation, so a plain `cargo test` leaves it out.
//! `cargo xtask test` runs it as its tier `sim`.
//! `cargo test --release -p trimtab-sim --test scenarios` runs it alone.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use trimtab_sim::parse::{Document, Draft};
use trimtab_sim::report::{Digest, Verdict, table, verdicts};
use trimtab_sim::{Rule, batch};

/// Widens the bands by this much, because two seeds of 20 s hold few slow requests.
const SLACK: f64 = 0.6;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../benches/scenarios")
}

/// Runs a scenario. Fails with all findings if a band is missed or there is none.
fn hold(name: &str) {
    let text = std::fs::read_to_string(folder().join(format!("{name}.toml"))).unwrap();
    let draft = Draft::parse(&text).unwrap();
    let document =
        draft.check(&mut |name| std::fs::read(folder().join(name)).map_err(|e| e.to_string()));
    let Document {
        mut scenario,
        expected,
    } = document.unwrap_or_else(|problems| panic!("{name}:\n{problems}"));
    batch::shorten(&mut scenario);
    scenario.rules = vec![Rule::Oracle, Rule::Trimtab];
    let digests: Vec<Digest> = batch::jobs(&scenario)
        .into_iter()
        .map(|job| {
            let run = trimtab_sim::run(&scenario, job.rule, job.load, job.seed);
            Digest::of(&run.unwrap_or_else(|invalid| panic!("{name}: {invalid}")))
        })
        .collect();
    let expected: Vec<_> = expected
        .into_iter()
        .filter(|band| scenario.rules.contains(&band.rule))
        .collect();
    let findings = verdicts(&expected, &digests, SLACK);
    let held = findings
        .iter()
        .all(|finding| finding.verdict == Verdict::Held);
    let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
    println!("{}\n{}", table(&digests), told.join("\n"));
    assert!(held && !findings.is_empty(), "{name}: {}", told.join("; "));
}

macro_rules! scenarios {
    ($($test:ident $name:literal,)*) => {
        const NAMES: &[&str] = &[$($name),*];
        $(
            #[test]
            fn $test() {
                hold($name);
            }
        )*
    };
}

scenarios! {
    agent "agent",
    agent_text "agent-text",
    agents_long "agents-long",
    chat "chat",
    chat_burst "chat-burst",
    chat_het "chat-het",
    churn_drain "churn-drain",
    churn_hang "churn-hang",
    churn_join_kill "churn-join-kill",
    churn_slow "churn-slow",
    demo "demo",
    demo_unlabelled "demo-unlabelled",
    longmix "longmix",
    longmix_burst "longmix-burst",
    kv_limited "kv-limited",
    long_answers "long-answers",
    lora "lora",
    mix_2 "mix-2",
    mix_4 "mix-4",
    mix_8 "mix-8",
    mix_16 "mix-16",
    mix_32 "mix-32",
    mix_uneven "mix-uneven",
    mix_unlabelled "mix-unlabelled",
    mix_workers "mix-workers",
    multi "multi",
    multi_text "multi-text",
    rag "rag",
    rag_burst "rag-burst",
    rag_het "rag-het",
    sysg "sysg",
    sysg50 "sysg50",
    sysg500 "sysg500",
    sysg500_text "sysg500-text",
    sysg_het "sysg-het",
    sysg_own "sysg-own",
    sysg_text "sysg-text",
    throttled "throttled",
    two_three "two-three",
}

/// Returns the names of the scenarios in a folder.
fn names(folder: &Path) -> BTreeSet<String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect()
}

/// Scenarios without bands are only measured. They must be readable too.
#[test]
fn every_scenario_can_be_read_and_none_with_bands_is_left_out() {
    let is_banded = |name: &String| {
        let text = std::fs::read_to_string(folder().join(format!("{name}.toml"))).unwrap();
        let mut draft = Draft::parse(&text).unwrap();
        // The capacity is set, because measuring the work of a mix takes a while.
        draft.set("workload.capacity_per_endpoint", "1").unwrap();
        let read = draft.check(&mut |name| Err(format!("{name} is a trace; such go to traces")));
        let document = read.unwrap_or_else(|problems| panic!("{name}:\n{problems}"));
        assert_eq!(document.scenario.name, *name);
        !document.expected.is_empty()
    };
    let found: BTreeSet<String> = names(&folder()).into_iter().filter(is_banded).collect();
    let named: BTreeSet<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(found, named);
}

/// The traces are not part of the repository. A few rows replace them.
#[test]
fn scenarios_of_traces_can_be_read() {
    let folder = folder().join("traces");
    let rows = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,9,9\n2023-11-16 18:17:04,9,9\n";
    for name in names(&folder) {
        let text = std::fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap();
        let mut asked = String::new();
        let read = Draft::parse(&text).unwrap().check(&mut |name| {
            name.clone_into(&mut asked);
            Ok(rows.as_bytes().to_vec())
        });
        let document = read.unwrap_or_else(|problems| panic!("{name}:\n{problems}"));
        assert!(asked.starts_with("../../../../shared/traces/"), "{asked}");
        assert_eq!((document.scenario.name, document.expected.len()), (name, 0));
    }
}
