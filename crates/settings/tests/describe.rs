//! What readers say of their settings is what they read.
#![cfg(feature = "describe")]

use serde_json::{Value, json};
use trimtab_settings::Settings;
use trimtab_settings::describe::{Setting, collect};

fn read(value: &Value) {
    let s = Settings::new(value);
    let scrape = s.about("How pages are asked for.").section("scrape");
    let _ = scrape
        .about("Time between two.")
        .duration("interval")
        .range(std::time::Duration::ZERO..=std::time::Duration::from_secs(7_200))
        .default(std::time::Duration::from_millis(200));
    let _ = scrape
        .about("Time at most.")
        .duration("wait")
        .as_ms()
        .range(500..=60_000)
        .default(90_000);
    let _ = scrape
        .about("How.")
        .string("scheme")
        .one_of(&[("http", false), ("https", true)])
        .default(true);
    for pool in s.objects("pools").default(Vec::new()) {
        let _ = pool.about("Its name.").string("name").required();
        let _ = pool.about("Most.").u64("most").optional();
        let _ = pool.string("secret").optional();
    }
    let _ = s
        .about_as("What there is.", "`a`, `b`", "`a`")
        .string("kind")
        .default(String::new());
}

#[test]
fn settings_are_described_with_place_type_range_and_default() {
    let found = collect(|| {
        read(&json!({}));
        read(&json!({"pools": [{"name": "a"}, {"name": "b"}]}));
    });
    let short = |one: &Setting| {
        let range = one.range.as_ref();
        let range = range.map(|(least, most)| format!("{least} to {most}"));
        let default = one.default.clone().unwrap_or_default();
        [&one.path, &one.value, &range.unwrap_or_default(), &default].map(Clone::clone)
    };
    let found_short: Vec<_> = found.iter().map(short).collect();
    let span = "a span of time like 250ms, 10s, 2m or 1h";
    let expected = [
        ["scrape", "an object", "", ""],
        ["scrape.interval", span, "0s to 2h", "200ms"],
        ["scrape.wait", span, "500ms to 60s", "90s"],
        ["scrape.scheme", "`http`, `https`", "", "https"],
        ["pools", "a list of objects", "", "[]"],
        ["kind", "`a`, `b`", "", "`a`"],
        ["pools[].name", "a text", "", ""],
        ["pools[].most", "a whole number, 0 or more", "", ""],
        ["pools[].secret", "a text", "", ""],
    ];
    assert_eq!(found_short, expected.map(|row| row.map(str::to_owned)));
    let required: Vec<_> = found.iter().filter(|one| one.required).collect();
    assert_eq!(required.len(), 1);
    // A field that its reader does not describe is there, without a word.
    let silent = found.iter().filter(|one| one.about.is_empty());
    let silent: Vec<&str> = silent.map(|one| one.path.as_str()).collect();
    assert_eq!(silent, ["pools", "pools[].secret"]);
    assert_eq!(collect(|| ()), []);
}
