use super::*;

fn problems(text: &str) -> Vec<String> {
    check(text)
        .into_iter()
        .flat_map(|finding| finding.problems)
        .collect()
}

fn envoy(plugin: &str, option: &str) -> String {
    format!(
        "static_resources:\n  listeners:\n  - filters:\n    - config:\n        name: trimtab\n        {option}\n        vm_config: {{}}\n        configuration: {{\"@type\": x, value: '{plugin}'}}\n  clusters:\n  - name: agg\n  - policy: {{override_host_sources: [{{header: X-Gateway-Destination-Endpoint}}]}}\n"
    )
}

#[test]
fn good_files_are_recognised_and_fine() {
    let hold = "allow_on_headers_stop_iteration: true";
    for (text, what) in [
        (
            "listen: 127.0.0.1:9190\npools:\n- name: a\n  discovery: {endpoints: [{address: \"10.0.0.1:80\"}]}\n"
                .to_owned(),
            "aggregator",
        ),
        (
            r#"{"pool": "a", "aggregator": {"cluster": "agg"}}"#.to_owned(),
            "filter",
        ),
        (
            r#"{"pools": [{"pool": "a", "clusters": ["x"]}, {"pool": "b"}], "aggregator": {"cluster": "agg"}}"#.to_owned(),
            "filter",
        ),
        (
            envoy(r#"{"pool": "a", "aggregator": {"cluster": "agg"}}"#, hold),
            "filter at static_resources.listeners[0].filters[0].config.configuration",
        ),
        (
            envoy(
                r#"{"role": "tap", "pool": "a", "aggregator": {"cluster": "agg"}}"#,
                "",
            ),
            "filter at static_resources.listeners[0].filters[0].config.configuration",
        ),
        (
            "endpoints:\n- address: \"10.0.0.1:80\"\n".to_owned(),
            "list of endpoints",
        ),
        (
            "kind: WasmPlugin\nspec:\n  pluginConfig: {pool: a, services: [n/s:80], aggregator: {cluster: c}}\n"
                .to_owned(),
            "filter at spec.pluginConfig",
        ),
    ] {
        assert_eq!(
            check(&text),
            [Finding {
                what: what.to_owned(),
                problems: vec![],
                notes: vec![],
            }],
            "{text}"
        );
    }
}

#[test]
fn a_list_of_endpoints_is_checked_like_the_aggregators_own() {
    assert_eq!(
        problems("endpoints:\n- address: 10.0.0.1:80\n"),
        Vec::<String>::new()
    );
    let bad =
        problems("endpoints:\n- address: nowhere\n- {address: \"10.0.0.1:80\", colour: red}\n");
    assert!(
        bad.iter().any(|line| line.contains("endpoints[0].address")),
        "{bad:?}"
    );
    assert!(bad.iter().any(|line| line.contains("colour")), "{bad:?}");
}

#[test]
fn every_problem_is_listed() {
    let text = envoy(
        r#"{"pool": "", "aggregator": {"cluster": "none"}, "tick": "1h", "colour": 1}"#,
        "",
    );
    let problems = problems(&text);
    for part in [
        "pool",
        "tick",
        "colour",
        "allow_on_headers_stop_iteration",
        "no such cluster; it has agg",
    ] {
        assert!(
            problems.iter().any(|problem| problem.contains(part)),
            "{part} is missing in {problems:#?}"
        );
    }
}

#[test]
fn a_destination_that_nothing_reads_is_a_problem_and_to_who_observes_a_note() {
    let hold = "allow_on_headers_stop_iteration: true";
    let plugin = |mode: &str| {
        format!(r#"{{"pool": "a", "mode": "{mode}", "aggregator": {{"cluster": "agg"}}}}"#)
    };
    let without = |mode| envoy(&plugin(mode), hold).replace("X-Gateway", "X-Other");
    let enforces = problems(&without("enforce"));
    assert!(
        enforces[0].contains("override_host_sources"),
        "{enforces:?}"
    );
    let [observes] = &check(&without("observe"))[..] else {
        panic!("one finding")
    };
    assert_eq!(observes.problems, Vec::<String>::new());
    assert!(observes.notes[0].contains("override_host_sources"));
    let snippet = without("enforce").replace("clusters:", "others:");
    let dynamic =
        without("enforce") + "dynamic_resources: {cds_config: {path_config_source: {path: x}}}\n";
    for partial in [snippet, dynamic] {
        assert_eq!(problems(&partial), Vec::<String>::new(), "{partial}");
    }
}

#[test]
fn an_endpoint_file_that_does_not_exist_yet_is_noted_and_a_broken_one_is_a_problem() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("endpoints.yaml");
    let text = format!(
        "{{listen: '127.0.0.1:9190', pools: [{{name: a, discovery: {{file: {{path: '{}'}}}}}}]}}",
        path.display()
    );
    let [finding] = &check(&text)[..] else {
        panic!("one finding")
    };
    assert_eq!(finding.problems, Vec::<String>::new());
    assert!(finding.notes[0].contains("does not exist yet"));
    std::fs::write(&path, "endpoints: [{address: here}]").unwrap();
    assert!(problems(&text)[0].contains("endpoints[0].address"));
    assert!(
        problems("endpoints: [{address: here}]")[0].contains("endpoints[0].address"),
        "a list by itself is checked too"
    );
    std::fs::write(&path, "endpoints: []").unwrap();
    assert!(
        check(&text)
            .iter()
            .all(|f| f.problems.is_empty() && f.notes.is_empty())
    );
}

#[test]
fn plugins_of_others_and_unrelated_files_hold_nothing() {
    let other = "x: {name: other, vm_config: {}, configuration: {value: '{\"a\": 1}'}}\n";
    assert!(check(other).is_empty() && check("a: 1\n").is_empty() && check("").is_empty());
}

#[test]
fn text_that_is_not_yaml_and_json_that_is_not_json_are_problems() {
    assert!(problems("a: [1\n")[0].contains("is not YAML"));
    assert!(
        problems(&envoy("{", "allow_on_headers_stop_iteration: true"))[0].contains("is not JSON")
    );
}

#[test]
fn a_deep_document_is_not_followed_without_end() {
    let deep = format!("{}1{}", "{\"a\":".repeat(400), "}".repeat(400));
    let _bounded = check(&deep);
}

#[test]
fn a_list_of_endpoints_is_checked_under_the_names_that_it_has() {
    let twice = problems("endpoints:\n- address: 10.0.0.1:80\n- address: 10.0.0.1:80\n");
    assert_eq!(
        twice,
        [
            "endpoints[1]: 10.0.0.1:80 is listed twice, before at endpoints[0]; list each endpoint once"
        ]
    );
    for (text, says) in [
        ("- address: 10.0.0.1:80\n", "write `endpoints:` above it"),
        ("- 10.0.0.1:80\n", "- address: 10.0.0.1:80"),
        ("[{\"targets\": [\"10.0.0.1:80\"]}]", "file_sd"),
        (
            "endpoints:\n- address: 2001:db8::1:8000\n",
            "write [2001:db8::1]:8000",
        ),
    ] {
        let [problem] = &problems(text)[..] else {
            panic!("{text}: one problem")
        };
        assert!(problem.contains(says), "{text}: {problem}");
    }
    assert!(check("- 1\n- 2\n").is_empty() && check("[{\"a\": 1}]").is_empty());
}

#[test]
fn a_pool_or_an_aggregator_without_the_right_key_is_still_one() {
    for text in [
        "name: a\ndiscovery: {endpoints: []}\n",
        "pool: [{name: a, discovery: {endpoints: []}}]\n",
    ] {
        let [finding] = &check(text)[..] else {
            panic!("{text}: one finding")
        };
        assert_eq!(finding.what, "aggregator");
        assert!(finding.problems[0].starts_with("pools: is required"));
    }
    let two = check("pools: []\n---\npools: []\n");
    assert_eq!(two.len(), 1, "{two:?}");
}

#[test]
fn a_filters_configuration_is_json_where_it_looks_like_it() {
    let trailing = problems("{\"pool\": \"a\", \"aggregator\": {\"cluster\": \"c\"},}");
    assert!(trailing[0].contains("trailing comma"), "{trailing:?}");
    let yaml = problems("pool: a\naggregator: {cluster: c}\n");
    assert_eq!(yaml, Vec::<String>::new());
}

#[test]
fn a_list_of_endpoints_is_the_one_document_of_its_file() {
    let list = "endpoints:\n- address: \"10.0.0.1:80\"\n";
    assert_eq!(problems(&format!("---\n{list}")), Vec::<String>::new());
    let two = problems(&format!("{list}---\n{list}"));
    assert!(
        two.len() == 1 && two[0].contains("holds 2 YAML documents"),
        "{two:?}"
    );
}

#[test]
fn an_aggregator_that_speaks_to_everybody_is_noted() {
    let pools = "pools: [{name: a, discovery: {endpoints: [{address: '10.0.0.1:80'}]}}]\n";
    let notes = |listen: &str| check(&format!("{listen}{pools}")).remove(0).notes;
    for open in ["", "listen: 0.0.0.0:9190\n", "listen: '[::]:9190'\n"] {
        let notes = notes(open);
        assert!(notes[0].contains("gets the placement key"), "{notes:?}");
    }
    assert_eq!(notes("listen: '[::1]:9190'\n"), Vec::<String>::new());
}
