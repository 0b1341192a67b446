//! Tests that a reader of settings gets typed values, or every problem with path, value, reason and
//! fix.

use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;
use trimtab_settings::{Problems, Settings};

fn lines(problems: &Problems) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn fields_are_read_by_type() {
    let value = json!({
        "name": "chat", "on": true, "count": 7, "ratio": 0.5, "every": "200ms", "tags": ["a", "b"],
        "mode": "fast", "inner": {"deep": 1}, "list": [{"x": 1}, {"x": 2}], "nothing": null
    });
    let s = Settings::new(&value);
    assert_eq!(s.string("name").required(), "chat");
    assert!(s.bool("on").required());
    assert_eq!(s.u64("count").range(1..=10).required(), 7);
    assert_eq!(s.usize("count").range(1..=10).required(), 7);
    assert_eq!(s.f64("ratio").default(0.0).to_bits(), 0.5f64.to_bits());
    assert_eq!(s.duration("every").required(), Duration::from_millis(200));
    assert_eq!(s.strings("tags").required(), ["a", "b"]);
    assert_eq!(
        s.string("mode")
            .one_of(&[("slow", 1), ("fast", 2)])
            .required(),
        2
    );
    assert_eq!(s.section("inner").u64("deep").required(), 1);
    assert_eq!(s.section("absent").u64("deep").default(9), 9);
    let xs: Vec<u64> = s
        .objects("list")
        .required()
        .iter()
        .map(|item| item.u64("x").required())
        .collect();
    assert_eq!(xs, [1, 2]);
    assert_eq!(
        s.string("nothing").optional(),
        None,
        "a null is a field that is left out"
    );
    assert!(s.finish(()).is_ok());
}

#[test]
fn every_problem_is_reported_at_once_in_order_with_unknown_fields_last() {
    let value = json!({
        "pool": 3, "wait_ms": 0, "every": "5 parsecs", "mode": "fats", "clutser": "x",
        "pools": [{"nmae": "a"}, {"name": ""}]
    });
    let s = Settings::new(&value);
    let _ = s
        .string("pool")
        .hint("name a pool of the aggregator")
        .required();
    let _ = s.u64("wait_ms").range(1..=30_000).default(10_000);
    let _ = s.duration("every").default(Duration::ZERO);
    let _ = s
        .string("mode")
        .one_of(&[("slow", 1), ("fast", 2)])
        .required();
    let _ = s
        .string("cluster")
        .hint("name the Envoy cluster of the aggregator")
        .required();
    for pool in s.objects("pools").required() {
        let _ = pool.string("name").max_bytes(253).required();
    }
    let problems = s.finish(()).unwrap_err();
    assert_eq!(
        lines(&problems),
        [
            "pool: 3: is not a text, write it in quotes: \"3\"; name a pool of the aggregator",
            "wait_ms: 0: is not within 1 to 30000",
            "every: \"5 parsecs\": is not a span of time like 250ms, 10s, 2m or 1h",
            "mode: \"fats\": is none of slow, fast, did you mean `fast`?",
            "cluster: is required; name the Envoy cluster of the aggregator",
            "pools[0].name: is required; write a text",
            "pools[1].name: \"\": is empty",
            "clutser: \"x\": is not a known field; did you mean `cluster`?",
            "pools[0].nmae: \"a\": is not a known field; did you mean `name`?",
        ]
    );
}

#[test]
fn a_missing_section_is_one_problem_and_its_fields_are_none() {
    let empty = json!({});
    let s = Settings::new(&empty);
    let section = s.required_section("aggregator", "say where the aggregator is");
    let _ = section.string("cluster").required();
    let _ = section.section("deeper").string("x").required();
    assert_eq!(
        lines(&s.finish(()).unwrap_err()),
        ["aggregator: is required; say where the aggregator is"]
    );

    let wrong = json!({"scrape": 5});
    let s = Settings::new(&wrong);
    let _ = s.section("scrape").string("needed").required();
    assert_eq!(
        lines(&s.finish(()).unwrap_err()),
        ["scrape: 5: is not an object"]
    );

    let s = Settings::new(&empty);
    let _ = s.section("scrape").string("needed").required();
    assert_eq!(
        s.finish(()).unwrap_err().len(),
        1,
        "what an optional section requires is still required"
    );
}

#[test]
fn a_document_that_is_no_object_is_one_problem_and_an_empty_one_is_none() {
    for value in [json!([1, 2]), json!("text"), json!(5)] {
        let s = Settings::new(&value);
        let _ = s.string("pool").required();
        assert_eq!(s.finish(()).unwrap_err().len(), 1, "{value}");
    }
    let s = Settings::new(&Value::Null);
    assert_eq!(s.u64("wait_ms").default(5), 5);
    assert!(s.finish(()).is_ok());
}

#[test]
fn what_is_echoed_is_short_and_harmless_and_problems_are_bounded() {
    let long = "x\u{1b}[31m".repeat(10_000);
    let mut value = json!({ "pool": long.clone(), "deep": [[[[[[1]]]]]] });
    for index in 0..1000 {
        value[format!("{long}{index}")] = json!([long.clone()]);
    }
    let s = Settings::new(&value);
    let _ = s.string("pool").max_bytes(253).required();
    let problems = s.finish(()).unwrap_err();
    assert_eq!(problems.len(), 1002);
    let text = problems.to_string();
    assert!(text.len() < 64 * 1024, "{} bytes", text.len());
    assert!(!text.contains('\u{1b}'));
    assert!(text.ends_with("and 938 more"));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::hash_map("a|b|c|.{0,8}", inner, 0..8)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_is_read_or_refused(value in any_json()) {
        let s = Settings::new(&value);
        let a = s.u64("a").range(1..=5).default(3);
        let b = s.section("b");
        let inner = b.f64("a").range(0.0..=1.0).default(0.5);
        for c in s.objects("c").default(Vec::new()) {
            let _ = c.duration("a").optional();
        }
        if s.finish(()).is_ok() {
            prop_assert!((1..=5).contains(&a) && (0.0..=1.0).contains(&inner));
            let known = ["a", "b", "c"];
            prop_assert!(value.as_object().is_none_or(|map| map.keys().all(|key| known.contains(&key.as_str()))));
        }
    }
}

#[test]
fn the_commonest_slips_of_type_are_told_from_strangers() {
    let value = json!({
        "name": true, "count": "12", "flag": "false", "every": "5", "list": [{"a": 1}, "10.0.0.1:80"], "at": 5, "word": "x",
    });
    let s = Settings::new(&value);
    let _ = (s.string("name").optional(), s.u64("count").optional());
    let _ = (s.bool("flag").optional(), s.duration("every").optional());
    let _ = (
        s.objects("list").optional(),
        s.string("at").address().optional(),
    );
    let _ = s.u64("word").optional();
    assert_eq!(
        lines(&s.finish(()).unwrap_err()),
        [
            "name: true: is not a text, write it in quotes: \"true\"",
            "count: \"12\": is not a whole number, 0 or more, write it without quotes: 12",
            "flag: \"false\": is not true or false, write it without quotes: false",
            "every: \"5\": is not a span of time like 250ms, 10s, 2m or 1h",
            "list: a list of 2: is not a list of objects: [1] is \"10.0.0.1:80\"",
            "at: 5: is not ip:port; write ip:port, as in 10.0.0.1:8000",
            "word: \"x\": is not a whole number, 0 or more",
        ]
    );
}
