use std::collections::BTreeSet;

use serde_json::{Value, json};
use trimtab_settings::describe::{Setting, collect};

use super::Config;

impl Config {
    pub(crate) fn example() -> Self {
        Self::parse(br#"{"pool": "chat", "aggregator": {"cluster": "agg"}}"#).unwrap()
    }
}

#[test]
fn two_names_are_enough() {
    let config = Config::example();
    assert_eq!(
        (config.pools[0].name.as_str(), config.cluster.as_str()),
        ("chat", "agg")
    );
    assert_eq!(
        (config.max_hosts, config.wait_ms, config.tick_ms),
        (3, 10_000, 100)
    );
    assert_eq!(config.explain_header, None);
}

#[test]
fn every_problem_is_reported_at_once() {
    let problems = Config::parse(
        br#"{"pool": "a/b", "aggregator": {"clutser": "x"}, "tick": "1h", "max_hosts": 4, "explain_header": "a b", "paths": ["x"], "seeed": 1}"#,
    )
    .unwrap_err();
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    for (field, mention) in [
        ("pool", "letters"),
        ("aggregator.cluster", "required"),
        ("aggregator.clutser", "cluster"),
        ("tick", "1000"),
        ("max_hosts", "3"),
        ("explain_header", "header name"),
        ("paths", "begin with"),
        ("seeed", "seed"),
    ] {
        assert!(
            text.iter()
                .any(|line| line.starts_with(field) && line.contains(mention)),
            "{field} in {text:#?}"
        );
    }
    assert_eq!(problems.len(), 8, "{text:#?}");
}

#[test]
fn the_default_paths_can_be_written_out() {
    let paths = crate::config::defaults::PATHS.to_vec();
    let settings =
        serde_json::json!({"pool": "chat", "aggregator": {"cluster": "x"}, "paths": paths});
    assert_eq!(Config::read(&settings).unwrap().paths, paths);
}

/// The settings that the readers describe.
fn described() -> Vec<Setting> {
    collect(|| {
        for pools in [r#""pool": "p""#, r#""pools": [{"pool": "p"}]"#] {
            let json = format!(r#"{{{pools}, "aggregator": {{"cluster": "c"}}}}"#);
            Config::parse(json.as_bytes()).unwrap();
        }
    })
}

/// The names that the answer to an unknown field lists as known there.
fn known(json: &str) -> BTreeSet<String> {
    let problems = Config::parse(json.as_bytes()).unwrap_err().to_string();
    let lists = problems.split("known here: ").skip(1);
    let names = lists.flat_map(|list| list.split(['\n', ';']).next().unwrap_or("").split(", "));
    names
        .map(|name| {
            name.trim_matches(|c: char| !c.is_ascii_lowercase())
                .to_owned()
        })
        .collect()
}

#[test]
fn every_setting_is_described() {
    let all = known(
        r#"{"x": 1, "pools": [{"pool": "p", "x": 1}], "aggregator": {"x": 1}, "destination": {"x": 1}}"#,
    );
    let described = described();
    let told = described.iter().filter(|one| !one.about.is_empty());
    let told = told.filter_map(|one| one.path.rsplit('.').next());
    let told: BTreeSet<String> = told.map(|name| name.replace("pools[]", "pools")).collect();
    assert_eq!(told, all);
}

#[test]
fn what_is_described_as_the_default_is_the_default() {
    let mut settings = json!({"pool": "p", "aggregator": {"cluster": "c"}});
    let defaults = Config::read(&settings).unwrap();
    let mut written = 0;
    for setting in described() {
        let default = setting.default.unwrap_or_default();
        if default.is_empty() || default.contains(['`', ' ', '[']) || setting.path.contains('[') {
            continue;
        }
        let value = match serde_json::from_str(&default) {
            Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
            _ => Value::from(default),
        };
        match setting.path.split_once('.') {
            Some((object, name)) => settings[object][name] = value,
            None => settings[setting.path] = value,
        }
        written += 1;
    }
    assert_eq!(Config::read(&settings).unwrap(), defaults);
    assert!(written >= 14, "{settings}");
}

#[test]
fn what_is_not_json_says_what_to_write() {
    let problems = Config::parse(b"").unwrap_err();
    assert!(
        problems
            .iter()
            .next()
            .unwrap()
            .to_string()
            .contains(r#""pool""#)
    );
    assert!(Config::parse(&vec![b' '; 100_000]).is_err());
}

#[test]
fn header_names_are_folded_to_lower_case() {
    let config = Config::parse(
        br#"{"pool": "p", "aggregator": {"cluster": "c"}, "explain_header": "X-Trimtab-Decision"}"#,
    )
    .unwrap();
    assert_eq!(config.explain_header.as_deref(), Some("x-trimtab-decision"));
    assert_eq!(config.own_header(b"X-TRIMTAB-Decision"), 2);
    assert_eq!(config.own_header(b"x-gateway-destination-endpoint"), 1);
    assert_eq!(config.own_header(b"host"), 0);
}
