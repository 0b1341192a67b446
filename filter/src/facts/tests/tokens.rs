//! The tokenizer reads every document as serde_json does, however it is cut.

use proptest::prelude::*;
use serde_json::{Number, Value};

use crate::facts::json::{Container, Place, Sink, Tokenizer};
use crate::facts::oracle::{agrees, describe, document};

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|n| Value::Number(n.into())),
        (-1e30..1e30_f64).prop_map(|n| Value::Number(Number::from_f64(n).unwrap())),
        any::<String>().prop_map(Value::String),
        "[a-z\"\\\\/\u{8}\n\u{1f600}é]{0,40}".prop_map(Value::String),
    ];
    let nested = leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            prop::collection::vec((any::<String>(), inner), 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    prop::collection::vec(nested, 0..4).prop_map(Value::Array)
}

/// Writes every character beyond ASCII as `\u` and four digits, pairs of surrogates included, and
/// slashes as `\/`, as some encoders do.
fn escaped(json: &str) -> String {
    let mut out = String::new();
    for c in json.chars() {
        match c {
            '/' => out.push_str("\\/"),
            c if c.is_ascii() => out.push(c),
            c => c
                .encode_utf16(&mut [0; 2])
                .iter()
                .for_each(|unit| out.push_str(&format!("\\u{unit:04X}"))),
        }
    }
    out
}

/// A sink that accepts anything and keeps nothing.
struct Ignore;

impl Sink for Ignore {
    fn open(&mut self, _: Container) {}
    fn close(&mut self, _: Container) {}
    fn text(&mut self, _: Place, _: &[u8]) {}
    fn text_end(&mut self, _: Place) {}
    fn scalar(&mut self, _: &[u8]) {}
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_valid_document_reads_as_serde_json_reads_it(
        value in value(),
        pretty in any::<bool>(),
        escapes in any::<bool>(),
        sizes in prop::collection::vec(1..40_usize, 1..8),
    ) {
        let mut json = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
        if escapes {
            json = escaped(&json);
        }
        // Not `value`: the expected floats and doubled keys are those of the text.
        let expected: Value = serde_json::from_str(&json).unwrap();
        let found = document(json.as_bytes(), &sizes).unwrap();
        prop_assert!(agrees(&found, &expected), "{found} for {json}");
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_an_error_is_final(bytes in prop::collection::vec(any::<u8>(), 0..300), size in 1..50_usize) {
        let mut tokenizer = Tokenizer::new();
        let mut failed = false;
        for piece in bytes.chunks(size) {
            let result = tokenizer.feed(piece, &mut Ignore);
            prop_assert!(!failed || result.is_err());
            failed = result.is_err();
        }
    }

    #[test]
    fn a_damaged_document_is_accepted_if_serde_json_accepts_it_and_then_reads_the_same(
        value in value(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..4),
        sizes in prop::collection::vec(1..50_usize, 1..4),
    ) {
        let mut json = value.to_string().into_bytes();
        for (at, byte, how) in damage {
            if json.is_empty() {
                break;
            }
            let at = at.index(json.len());
            match how {
                0 => json[at] = byte,
                1 => json.insert(at, b"[]{}\",:0123456789.eE+-\\u tfn"[usize::from(byte) % 28]),
                2 => json.truncate(at),
                _ => { json.remove(at); }
            }
        }
        let found = document(&json, &sizes);
        if let Ok(expected) = serde_json::from_slice::<Value>(&json) {
            // The end of a scalar at the top level cannot be seen.
            if expected.is_array() || expected.is_object() {
                prop_assert!(found.as_ref().is_some_and(|found| agrees(found, &expected)), "{found:?}");
            }
        }
        for path in ["/v1/chat/completions", "/v2/models/m/infer"] {
            prop_assert_eq!(describe(path, &json, &sizes), describe(path, &json, &[]));
        }
    }

    #[test]
    fn numbers_of_every_length_agree(digits in "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?", size in 1..50_usize) {
        let json = format!("[{digits}]");
        if let Ok(expected) = serde_json::from_str::<Value>(&json) {
            let found = document(json.as_bytes(), &[size]).unwrap();
            prop_assert!(agrees(&found, &expected), "{found} for {json}");
        }
    }
}

#[test]
fn documented_differences_are_these() {
    for (json, ours) in [
        // Numbers and words are not checked.
        (
            "[01, nul, -, 1.e]",
            serde_json::json!([null, null, null, null]),
        ),
        // Control characters in strings.
        ("[\"a\nb\"]", serde_json::json!(["a\nb"])),
        // Lone surrogates.
        (r#"["\udc00"]"#, serde_json::json!(["\u{fffd}"])),
        // A number beyond the range of a float.
        ("[1e999]", serde_json::json!([null])),
    ] {
        assert!(serde_json::from_str::<Value>(json).is_err(), "{json}");
        assert_eq!(document(json.as_bytes(), &[]), Some(ours), "{json}");
    }
    assert!(
        document(b"[\"\xff\"]", &[]).is_some(),
        "text need not be UTF-8"
    );
}

#[test]
fn what_is_not_json_is_refused() {
    for text in [
        "{]",
        "[}",
        "{1:2}",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "[1 2]",
        "[,]",
        "{,}",
        "\"\\x\"",
        "\"\\u12g4\"",
        "]",
        ":",
        "<html>",
    ] {
        let mut tokenizer = Tokenizer::new();
        assert!(
            tokenizer.feed(text.as_bytes(), &mut Ignore).is_err(),
            "{text}"
        );
    }
}

#[test]
fn what_servers_take_beyond_serde_json_is_taken() {
    for (json, ours) in [
        ("\u{feff}{}", serde_json::json!({})),
        ("[1] [2", serde_json::json!([1])),
        ("{\"a\":1}\0\0", serde_json::json!({"a": 1})),
        (
            "[NaN, Infinity, -Infinity, true, None]",
            serde_json::json!([null, null, null, true, null]),
        ),
    ] {
        assert!(serde_json::from_str::<Value>(json).is_err(), "{json}");
        for sizes in [&[][..], &[1], &[2]] {
            let found = document(json.as_bytes(), sizes);
            assert_eq!(found.as_ref(), Some(&ours), "{json}");
        }
    }
}

#[test]
fn depth_has_no_bound_and_serde_json_is_followed_as_far_as_it_goes() {
    for (depth, fits) in [(127, true), (128, false), (100_000, false)] {
        let json = "[".repeat(depth) + &"]".repeat(depth);
        let mut tokenizer = Tokenizer::new();
        assert!(tokenizer.feed(json.as_bytes(), &mut Ignore).is_ok());
        assert!(tokenizer.is_done(), "{depth}");
        assert_eq!(
            serde_json::from_str::<Value>(&json).is_ok(),
            fits,
            "{depth}"
        );
    }
    let deep = |depth: usize, inner: &str| {
        let json = "[".repeat(depth) + inner + &"]".repeat(depth);
        let mut tokenizer = Tokenizer::new();
        let taken = tokenizer.feed(json.as_bytes(), &mut Ignore).is_ok();
        taken && tokenizer.is_done()
    };
    let inner = r#"{"a": [{}, {"b": "]}\""}, [1]], "c": -1.5, "d": null}"#;
    for depth in 120..135 {
        assert!(deep(depth, inner), "{depth}");
        assert!(!deep(depth, r#"{"a": [}"#) || depth > 125, "{depth}");
        assert!(!deep(depth, r#"{"a": "b" "c"}"#), "{depth}");
        assert!(!deep(depth, "["), "{depth}");
    }
}

#[test]
fn a_lone_surrogate_becomes_the_replacement_character() {
    for (json, text) in [
        (r#"["\ud800"]"#, "\u{fffd}"),
        (r#"["\ud800x"]"#, "\u{fffd}x"),
        (r#"["\udc00"]"#, "\u{fffd}"),
        (r#"["\ud800\n"]"#, "\u{fffd}\n"),
        (r#"["\ud800\ud83d\ude00"]"#, "\u{fffd}\u{1f600}"),
        (r#"["\ud800\u0041"]"#, "\u{fffd}A"),
    ] {
        for size in 1..json.len() {
            assert_eq!(
                document(json.as_bytes(), &[size]),
                Some(serde_json::json!([text])),
                "{json}"
            );
        }
    }
}
