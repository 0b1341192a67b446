//! Samples that are correct, and samples that are not.

use super::*;

fn tree() -> Tree {
    let mut tree = Tree::default();
    let files = [
        (
            "tests/host/bodies.rs",
            "#[test]\nfn a_long_body_passes_whole() {}\nfn helper_of_no_test_at_all() {}\n",
        ),
        (
            "tests/envoy/health.rs",
            "#[tokio::test]\nasync fn a_server_that_fails_is_left_out() {}\n",
        ),
        (
            "crates/pick/src/picker.rs",
            "pub struct Picker;\nimpl Picker {\n    pub fn choose() {}\n}\nenum Plan {\n    Pass,\n}\n",
        ),
        (
            "filter/src/metrics.rs",
            "let name = \"trimtab_decisions_total\";\nlet other = \"trimtab_report_calls_total\";\n",
        ),
        (
            "docs/metrics.md",
            "| `trimtab_aggregator_proxies` | gauge |\n",
        ),
        (
            "filter/src/config.rs",
            "use trimtab_settings::Settings;\nlet age = s.duration(\"table_max_age\");\nlet LIMIT_BYTES = 1;\n",
        ),
        (
            "xtask/src/test/mod.rs",
            "enum Command {\n    Test,\n    ModelServer,\n}\nconst NAME: &str = \"x-trimtab-decision\";\nstruct Args {\n    envoy_version: String,\n}\n",
        ),
    ];
    for (path, code) in files {
        tree.add(path, Some(code));
    }
    tree.add("deploy/envoy/README.md", Some(""));
    tree
}

fn found(text: &str) -> Vec<String> {
    let mut sections = Sections::default();
    sections.add("deploy/envoy/README.md", "# Top\n");
    problems(&tree(), &sections, "deploy/README.md", text)
}

#[test]
fn the_documents_name_what_there_is() {
    check().unwrap();
}

#[test]
fn names_that_exist_pass() {
    for good in [
        "`Picker::choose`, `picker::choose`, `Picker`, `Pass`, `choose()` and plain `words`",
        "`trimtab_decisions_total.pool.chat.reason.load`, `trimtab_{decisions,report_calls}_total`, `trimtab_*`, `..proxies`",
        "`trimtab_decisions_total{pool=\"default\"}`, `wasmcustom.trimtab_report_calls_total`, `trimtab_aggregator_proxies`",
        "`crates/pick`, `bodies.rs`, `tests/host/{bodies,bodies}.rs`, [here](envoy/README.md#top), [there](https://example.org/x.md)",
        "`/etc/trimtab/filter.yaml`, `target/x`, `~/.cache/a.json`, `http://127.0.0.1:9901/a.json`",
        "the setting `table_max_age` (`LIMIT_BYTES`), `cargo xtask test --envoy-version 1.36.4`, `trimtab model-server`",
        "`x-trimtab-decision`, `{\"table_max_age\": \"2s\"}`, `\"@type\": 1`",
        "| setting | proof |\n|---|---|\n| `\"table_max_age\": \"2s\"` | h `a_long_body_passes_whole`, `bodies`; e `a_server_that_fails_is_left_out`, `health` |\n",
        "```\n`Nonsense`\n```\n",
    ] {
        assert_eq!(found(good), [""; 0], "{good}");
    }
}

#[test]
fn names_that_do_not_exist_are_told_with_the_line_and_what_was_meant() {
    for (bad, line, meant) in [
        ("`\"table_age\": 1`", 1, "table_max_age"),
        ("`cargo xtask tests`", 1, "there is no command"),
        ("`x-trimtab-decisions: text`", 1, "x-trimtab-decision"),
        ("text\n`Pickers`", 2, "Picker"),
        ("`Picker::chooses`", 1, "choose"),
        ("`pick::chose`", 1, "choose"),
        ("`trimtab_decision_total`", 1, "trimtab_decisions_total"),
        (
            "`trimtab_{decisions,report_call}_total`",
            1,
            "trimtab_report_calls_total",
        ),
        (
            "`trimtab_aggregator_proxy`",
            1,
            "trimtab_aggregator_proxies",
        ),
        ("`trimtab_observed_*`", 1, "there is no metric"),
        ("`crates/picks`", 1, "crates/pick"),
        ("`body.rs`", 1, "there is no file"),
        ("[here](README.md)", 1, "deploy/envoy/README.md"),
        ("[here](envoy/README.md#tip)", 1, "`#top`?"),
        ("the setting\n`table_max_aeg`", 2, "table_max_age"),
        ("`table_max_aeg`", 1, "table_max_age"),
        ("`cargo xtask test --envoy-versions 1`", 1, "envoy_version"),
        ("`LIMIT_BYTE`", 1, "LIMIT_BYTES"),
        (
            "| setting |\n|---|\n| `\"table_age\": 1` |",
            3,
            "table_max_age",
        ),
        (
            "| proof |\n|---|\n| h `a_long_body_passes_well` |",
            3,
            "a_long_body_passes_whole",
        ),
        // The name exists, but it is no test, or a test of another tier.
        (
            "| proof |\n|---|\n| h `helper_of_no_test_at_all` |",
            3,
            "there is no test",
        ),
        (
            "| proof |\n|---|\n| e `a_long_body_passes_whole` |",
            3,
            "below tests/envoy/",
        ),
        (
            "| held by |\n|---|\n| `a_long_body_passes` |",
            3,
            "a_long_body_passes_whole",
        ),
    ] {
        let found = found(bad);
        assert_eq!(found.len(), 1, "{bad}: {found:?}");
        let place = format!("deploy/README.md:{line}: ");
        assert!(
            found[0].starts_with(&place) && found[0].contains(meant),
            "{bad}: {found:?}"
        );
    }
}

#[test]
fn documents_that_are_read_first_stay_short() {
    for (file, most) in [("ARCHITECTURE.md", 14_336), ("README.md", 6_144)] {
        assert_eq!(too_long(file, &"a".repeat(most)), None);
        let told = too_long(file, &"a".repeat(most + 1)).expect("too long");
        assert!(
            told.starts_with(file) && told.contains(&most.to_string()),
            "{told}"
        );
    }
    let long = "a".repeat(100_000);
    assert_eq!(too_long("docs/README.md", &long), None);
}

#[test]
fn a_foreign_name_that_no_document_says_is_told() {
    let documents = |text: &str| [("README.md", text.to_owned())];
    let all: Vec<_> = foreign::NAMES
        .iter()
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    assert_eq!(unused(&documents(&all.join(" "))), [""; 0]);
    let found = unused(&documents(&all[1..].join(" ")));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains(&all[0]), "{found:?}");
}
