//! What the tokenizer says of a document, however it is cut, is what serde_json says of it.

use proptest::prelude::*;
use serde_json::{Map, Number, Value};

use crate::facts::json::{Container, Place, Sink, Tokenizer};

/// Puts the document together again.
#[derive(Default)]
struct Tree {
    open: Vec<(Container, Vec<Value>, Vec<String>)>,
    text: Vec<u8>,
    root: Option<Value>,
}

impl Tree {
    fn put(&mut self, value: Value) {
        match self.open.last_mut() {
            Some((_, values, _)) => values.push(value),
            None => self.root = Some(value),
        }
    }
}

impl Sink for Tree {
    fn open(&mut self, container: Container) {
        self.open.push((container, vec![], vec![]));
    }

    fn close(&mut self, closed: Container) {
        let (container, values, keys) = self.open.pop().unwrap();
        assert_eq!(container, closed);
        let value = match container {
            Container::Array => Value::Array(values),
            Container::Object => Value::Object(keys.into_iter().zip(values).collect::<Map<_, _>>()),
        };
        self.put(value);
    }

    fn text(&mut self, _: Place, part: &[u8]) {
        self.text.extend(part);
    }

    fn text_end(&mut self, place: Place) {
        let text = String::from_utf8(std::mem::take(&mut self.text)).unwrap();
        match place {
            Place::Key => self.open.last_mut().unwrap().2.push(text),
            Place::Value => self.put(Value::String(text)),
        }
    }

    fn scalar(&mut self, literal: &[u8]) {
        self.put(serde_json::from_slice(literal).unwrap());
    }
}

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

/// Everything beyond ASCII as `\uXXXX`, pairs of surrogates included, and slashes as `\/`, as some encoders write.
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

/// Feeds `json` in pieces of the given sizes, used in turn.
fn read(json: &[u8], sizes: &[usize]) -> Option<Value> {
    let (mut tokenizer, mut tree) = (Tokenizer::new(), Tree::default());
    let mut rest = json;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*size).clamp(1, rest.len()));
        tokenizer.feed(piece, &mut tree).ok()?;
        rest = after;
    }
    tokenizer.is_done().then(|| tree.root.unwrap())
}

/// Counts calls; takes anything.
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
        // Not `value`: floats and doubled keys are what the text says.
        let expected: Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(read(json.as_bytes(), &sizes), Some(expected));
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
    fn documents_that_were_damaged_never_panic(value in value(), at in any::<prop::sample::Index>(), byte in any::<u8>(), size in 1..50_usize) {
        let mut json = value.to_string().into_bytes();
        let at = at.index(json.len());
        json[at] = byte;
        let (mut tokenizer, mut ends) = (Tokenizer::new(), 0);
        for piece in json.chunks(size) {
            ends += usize::from(tokenizer.feed(piece, &mut Ignore).is_err());
        }
        if serde_json::from_slice::<Value>(&json).is_ok() {
            prop_assert!(ends == 0 && tokenizer.is_done());
        }
    }
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
        "[] []",
        "]",
        ":",
        "<html>",
        "\u{feff}{}",
    ] {
        let mut tokenizer = Tokenizer::new();
        assert!(
            tokenizer.feed(text.as_bytes(), &mut Ignore).is_err(),
            "{text}"
        );
    }
}

#[test]
fn depth_is_bounded_as_in_serde_json() {
    for (depth, fits) in [(127, true), (128, false), (100_000, false)] {
        let json = "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(
            Tokenizer::new().feed(json.as_bytes(), &mut Ignore).is_ok(),
            fits,
            "{depth}"
        );
        assert_eq!(
            serde_json::from_str::<Value>(&json).is_ok(),
            fits,
            "{depth}"
        );
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
                read(json.as_bytes(), &[size]),
                Some(serde_json::json!([text])),
                "{json}"
            );
        }
    }
}
