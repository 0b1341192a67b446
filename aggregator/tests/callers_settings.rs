//! What settings of listeners are refused, and what is told of those that let everybody in.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helper fails by panicking"
)]

use trimtab_aggregator::Config;

#[test]
fn what_an_open_listener_gives_away_is_told_before_it_starts() {
    let notes = |settings: &str| {
        let text = format!("{settings}\npools: [{{name: a, discovery: {{endpoints: []}}}}]");
        let config = Config::from_yaml(&text).unwrap_or_else(|problems| panic!("{problems}"));
        trimtab_aggregator::config::check_files(&config).notes
    };
    let open = notes("listen: 0.0.0.0:9190");
    assert!(
        open.len() == 1 && open[0].contains("placement key"),
        "{open:?}"
    );
    assert_eq!(notes("listen: 127.0.0.1:9190"), [""; 0]);
    assert_eq!(notes("listen: '[::1]:9190'"), [""; 0]);
    let plain = notes("listen: 0.0.0.0:9190\nallow: {service_accounts: {accounts: [a/b]}}");
    assert!(
        plain.len() == 1 && plain[0].contains("plain text"),
        "{plain:?}"
    );
}

#[test]
fn settings_that_let_nobody_in_are_refused() {
    for (settings, says) in [
        ("allow: {}", "allows nobody"),
        (
            "allow: {client_certificates: {ca_file: a, names: [b]}}",
            "has `allow.client_certificates` and no `tls`",
        ),
        ("tls: {cert_file: a}", "tls.key_file: is required"),
        (
            "tls: {cert_file: a, key_file: b}\nallow: {client_certificates: {ca_file: a, names: ['*.b']}}",
            "which has a `*` before its end",
        ),
        (
            "allow: {service_accounts: {accounts: [b]}}",
            "which has no namespace",
        ),
        ("allow: {service_accounts: {accounts: []}}", "is empty"),
        (
            "health: {listen: '127.0.0.1:1', allow: {bearer_file: a}}",
            "health.allow",
        ),
    ] {
        let text = format!("{settings}\npools: [{{name: a, discovery: {{endpoints: []}}}}]");
        let problems = Config::from_yaml(&text).unwrap_err().to_string();
        assert!(problems.contains(says), "{says}: {problems}");
    }
}

#[test]
fn a_file_that_is_not_here_is_noted_and_hides_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secrets");
    std::fs::write(&path, "short\n").unwrap();
    let text = format!(
        "listen: 127.0.0.1:9190\ntls: {{cert_file: /nowhere/tls.crt, key_file: /nowhere/tls.key}}\nallow: {{bearer_file: '{}'}}\npools: [{{name: a, discovery: {{endpoints: []}}}}]",
        path.display()
    );
    let config = Config::from_yaml(&text).unwrap_or_else(|problems| panic!("{problems}"));
    let found = trimtab_aggregator::config::check_files(&config);
    assert!(
        found.notes.len() == 2 && found.notes[0].contains("`tls.cert_file` /nowhere/tls.crt"),
        "{found:?}"
    );
    assert!(
        found.problems.len() == 1 && found.problems[0].contains("number 1"),
        "{found:?}"
    );
}
