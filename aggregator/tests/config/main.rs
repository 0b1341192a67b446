//! The configuration: the example says what the code does, and a wrong one is refused with every
//! reason.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helper fails by panicking"
)]

mod kubernetes;

use std::time::Duration;
use trimtab_aggregator::Config;
use trimtab_aggregator::config::Scrape;
use trimtab_aggregator::members::{Discovery, EndpointFile, Name};

fn problems(text: &str) -> Vec<String> {
    Config::from_yaml(text)
        .expect_err("refused")
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn the_example_is_valid_and_its_defaults_are_the_defaults() {
    let text = include_str!("../../config.example.yaml");
    let example = Config::from_yaml(text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(example.pools.len(), 4);
    let chat = &example.pools[0];
    let least = Config::from_yaml("pools: [{name: chat, discovery: {endpoints: []}}]").unwrap();
    assert_eq!(
        (&example.listen, example.max_proxies),
        (&least.listen, least.max_proxies)
    );
    assert_eq!(chat.scrape, least.pools[0].scrape);
    assert_eq!(chat.scrape, Scrape::default());
    assert_eq!(
        (chat.publish_interval, chat.suspect_after),
        (
            least.pools[0].publish_interval,
            least.pools[0].suspect_after
        )
    );
    let Discovery::Static(targets) = &chat.discovery else {
        panic!("a list")
    };
    assert_eq!(targets.len(), 2);
    assert_eq!(targets[0].spec.batch_limit, Some(256));
    assert_eq!(targets[1].metrics.to_string(), "127.0.0.1:8002");
    assert!(
        matches!(&example.pools[1].discovery, Discovery::File(EndpointFile { interval, .. }) if *interval == Duration::from_secs(1))
    );
    assert!(matches!(
        &example.pools[2].discovery,
        Discovery::Dns(Name { port: 8000, .. })
    ));
}

#[test]
fn every_problem_is_told_at_once() {
    let text = "
listen: nowhere
pool: []
pools:
- name: 'a b'
  discovery: {file: {path: x.yaml}, dns: {host: h, port: 0}}
  scrape: {interval: 5s, idle_interval: 1s, timeout: 5, path: metrics, engine: vlm, selct: false}
  placement_key: secret
- name: two
- name: two
  discovery: {}
- name: three
  discovery: {endpoints: [{address: 'host:80'}, {address: '10.0.0.1:80'}, {address: '10.0.0.1:80', role: boss}, {address: '10.0.0.2:80', role: prefill}]}
  classes: [{name: x, prefill_tokens_per_s: -1}]
";
    let problems = problems(text);
    for expected in [
        "listen: \"nowhere\": is a name and not an IP address; write ip:port, as in 10.0.0.1:8000",
        "pool: a list of 0: is not a known field; did you mean `pools`?",
        "pools[0].name: \"a b\": has characters other than letters, digits, `-`, `_` and `.`",
        "pools[0].discovery.dns.port: 0: is not within 1 to 65535",
        "pools[0].discovery: names more than one source",
        "pools[0].scrape.idle_interval: \"1s\": is not within 5s to 60s",
        "pools[0].scrape.timeout: 5: is not a span of time like 250ms, 10s, 2m or 1h",
        "pools[0].scrape.path: \"metrics\": ",
        "pools[0].scrape.engine: \"vlm\": is none of vllm,",
        "did you mean `vllm`?",
        "pools[0].scrape.selct: false: is not a known field; did you mean `select`?",
        "pools[0].placement_key: is not 32 hexadecimal digits",
        "pools[1].discovery: is required",
        "pools[2].discovery: names no source of endpoints",
        "two pools are called `two`",
        "pools[3].discovery.endpoints[0].address: \"host:80\": is a name and not an IP address; write ip:port, as in 10.0.0.1:80",
        "pools[3].discovery.endpoints[2]: 10.0.0.1:80 is listed twice, before at pools[3].discovery.endpoints[1]",
        "pools[3].discovery.endpoints[2].role: \"boss\": is none of both, prefill, decode",
        "pools[3].discovery.endpoints[3].role: \"prefill\": answers no prompts, and handing its work on is not supported; leave the endpoint out",
        "pools[3].classes[0].prefill_tokens_per_s: -1: is not within 10.0 to 1000000.0",
    ] {
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{expected} is not in\n{}",
            problems.join("\n")
        );
    }
    assert_eq!(problems.len(), 19, "{}", problems.join("\n"));
}

#[test]
fn what_is_no_yaml_or_empty_is_refused_with_a_reason() {
    assert!(problems("pools: [").join("").contains("is not YAML"));
    assert_eq!(
        problems(""),
        ["pools: is required; list at least one pool with name and discovery"]
    );
    assert_eq!(problems("[1, 2]").len(), 1);
    assert_eq!(
        problems("pools: []"),
        ["settings: there is no pool; list at least one under `pools`"]
    );
    let twice = problems("pools: []\npools: []\n").join("");
    assert!(
        twice.contains("duplicate mapping key `pools`") && twice.contains("line 2"),
        "{twice}"
    );
    assert!(
        !twice.contains("Options"),
        "the library's own words for programmers: {twice}"
    );
    let two = problems("pools: []\n---\npools: []\n");
    assert_eq!(
        two,
        [
            "settings: holds 2 YAML documents, and one is read; put each into a file of its own; `---` begins the next"
        ]
    );
    // Aliases that would expand without bound.
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
    assert!(!problems(bomb).is_empty());
}

#[test]
fn lists_in_other_forms_are_named_and_a_wrong_source_is_one_problem() {
    let pool = |discovery: &str| format!("pools: [{{name: a, discovery: {discovery}}}]");
    for (text, expected) in [
        (
            pool("{endpoints: ['10.0.0.1:80']}"),
            "endpoints: a list of 1: is not a list of objects: [0] is \"10.0.0.1:80\"; write `endpoints:` and under it `- address: 10.0.0.1:80`",
        ),
        (
            pool("{endpoints: [{targets: ['10.0.0.1:80']}]}"),
            "is a list in the form of Prometheus' file_sd; write `endpoints:` and under it `- address: 10.0.0.1:80`",
        ),
        (
            pool("{file: list.yaml}"),
            "discovery.file: \"list.yaml\": is not an object; write `file: {path: endpoints.yaml}`",
        ),
        (
            pool("{dns: {host: 'http://a', port: 80}}"),
            "discovery.dns.host: \"http://a\": is not the name of a host; write the name alone",
        ),
        (pool("{consul: {}}"), "discovery.consul"),
        (
            "endpoints: [{address: '10.0.0.1:80'}]".to_owned(),
            "is a list of endpoints and no configuration; name the file in one",
        ),
        (
            "[{targets: ['10.0.0.1:80']}]".to_owned(),
            "is a list of endpoints and no configuration",
        ),
    ] {
        let problems = problems(&text);
        let all = problems.join("\n");
        assert!(all.contains(expected), "{text}: {all}");
        let extra = usize::from(text.contains("consul"));
        assert_eq!(problems.len(), 1 + extra, "{text}: {all}");
    }
}

#[test]
fn addresses_that_nobody_can_be_at_or_two_can_are_refused_and_passwords_not_shown() {
    let pool = |list: &str| format!("pools: [{{name: a, discovery: {{endpoints: [{list}]}}}}]");
    for (list, expected) in [
        ("{address: '0.0.0.0:80'}", "is where a server listens"),
        ("{address: '[::]:80'}", "is where a server listens"),
        (
            "{address: '10.0.0.1:80'}, {address: '[::ffff:10.0.0.1]:80'}",
            "[::ffff:10.0.0.1]:80 is listed twice, before at pools[0].discovery.endpoints[0]",
        ),
        (
            "{address: '10.0.0.1:80,10.0.0.2:80'}",
            "is more than one address",
        ),
        (
            "{address: 'http://u:p4ss@10.0.0.1:80'}",
            "endpoints[0].address: \"***@10.0.0.1:80\": is a URL",
        ),
        (
            "{address: '10.0.0.1:80', metrics_url: 'http://u:p4ss@10.0.0.1/m'}",
            "endpoints[0].metrics_url: \"***@10.0.0.1/m\": holds a password",
        ),
    ] {
        let all = problems(&pool(list));
        assert!(
            all.len() == 1 && all[0].contains(expected) && !all[0].contains("p4ss"),
            "{expected}: {all:?}"
        );
    }
}

#[test]
fn tls_family_and_the_url_of_a_page_are_read_and_halves_of_them_refused() {
    let pool = |endpoint: &str, scrape: &str| {
        format!(
            "pools: [{{name: a, discovery: {{endpoints: [{{address: '10.0.0.1:80'{endpoint}}}]}}, scrape: {{{scrape}}}}}]"
        )
    };
    let fine = Config::from_yaml(&pool(
        ", metrics_url: 'https://a:8443/metrics'",
        "scheme: https, tls: {ca_file: ca.crt, server_name: a.b, cert_file: c, key_file: k}",
    ))
    .unwrap();
    let scrape = &fine.pools[0].scrape;
    assert!(scrape.https && scrape.tls.client.is_some());
    let Discovery::Static(targets) = &fine.pools[0].discovery else {
        panic!("a list")
    };
    assert_eq!(targets[0].metrics.to_string(), "https://a:8443/metrics");
    for (endpoint, scrape, expected) in [
        (
            "",
            "scheme: tls",
            "scrape.scheme: \"tls\": is none of http, https",
        ),
        (
            "",
            "tls: {cert_file: c}",
            "scrape.tls: has one of cert_file and key_file; set both",
        ),
        (
            "",
            "tls: {ca_file: c, insecure_skip_verify: true}",
            "scrape.tls: has ca_file, and insecure_skip_verify",
        ),
        (
            "",
            "tls: {server_name: 'a b'}",
            "scrape.tls.server_name: \"a b\": is not the name",
        ),
        (
            ", metrics_url: /metrics",
            "",
            "endpoints[0].metrics_url: \"/metrics\": does not begin with http://",
        ),
        (
            ", metrics_url: 'ftp://a/m'",
            "",
            "does not begin with http://",
        ),
        (
            ", metrics_url: 'http://a:80'",
            "",
            "has no path; write it whole",
        ),
        (
            ", metrics_url: 'http://u:p@a/m'",
            "",
            "endpoints[0].metrics_url: \"***@a/m\": holds a password",
        ),
        (
            ", metrics_url: 'http://a/m', metrics_port: 1",
            "",
            "endpoints[0]: has metrics_port and metrics_url; leave metrics_port out",
        ),
    ] {
        let all = problems(&pool(endpoint, scrape));
        assert!(
            all.len() == 1 && all[0].contains(expected),
            "{expected}: {all:?}"
        );
    }
    let dns = |family| {
        let dns = format!("{{host: a, port: 1, family: {family}}}");
        Config::from_yaml(&format!("pools: [{{name: a, discovery: {{dns: {dns}}}}}]"))
    };
    assert!(dns("ipv6").is_ok() && dns("v4").is_err());
}
