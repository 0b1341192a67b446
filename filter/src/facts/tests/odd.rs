//! Bodies that servers accept although they are not plain JSON in UTF-8.

use super::{head, read, words};
use crate::facts::{BodyFacts, Ending};

fn facts(body: &[u8], piece: usize) -> BodyFacts {
    read(&head("/v1/chat/completions"), body, body.len(), &[piece])
}

fn chat() -> String {
    format!(
        r#"{{"model":"m","stream":true,"messages":[{{"role":"system","content":"{}"}},{{"role":"user","content":"Grüße, 日本語 🚀"}}],"max_tokens":7}}"#,
        words(1, 2_000)
    )
}

fn utf_16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(to_bytes).collect()
}

#[test]
fn every_encoding_that_python_takes_tells_the_same() {
    let plain = chat();
    let expected = facts(plain.as_bytes(), usize::MAX);
    assert_eq!(expected.ending, Ending::Whole);
    let marked = format!("\u{feff}{plain}");
    for text in [&plain, &marked] {
        for body in [
            text.as_bytes().to_vec(),
            utf_16(text, u16::to_le_bytes),
            utf_16(text, u16::to_be_bytes),
            text.chars()
                .flat_map(|c| u32::from(c).to_le_bytes())
                .collect(),
            text.chars()
                .flat_map(|c| u32::from(c).to_be_bytes())
                .collect(),
        ] {
            for piece in [1, 3, 1_000, usize::MAX] {
                assert_eq!(facts(&body, piece), expected, "{piece}: {:?}", &body[..8]);
            }
        }
    }
}

#[test]
fn what_was_not_read_of_a_wide_encoding_counts_by_its_characters() {
    let text = words(1, 100_000);
    let json = format!(r#"{{"prompt":"{text}","model":"m"}}"#);
    let body = utf_16(&json, u16::to_le_bytes);
    let found = read(&head("/v1/completions"), &body, 16_384, &[999]);
    let tokens = found.prompt_tokens.unwrap();
    assert!((25_000..25_010).contains(&tokens), "{tokens}");
}

#[test]
fn words_and_depths_beyond_json_are_walked_over() {
    let deep = r#"{"properties":"#.repeat(200) + "{}" + &"}".repeat(200);
    for odd in [
        "NaN",
        "Infinity",
        "-Infinity",
        "None",
        "[NaN, -Infinity]",
        &deep,
        &format!("[{}]", ["[".repeat(300), "]".repeat(300)].concat()),
    ] {
        let body = format!(r#"{{"temperature":{odd},{}"#, &chat()[1..]);
        for piece in [1, 7, usize::MAX] {
            assert_eq!(
                facts(body.as_bytes(), piece),
                facts(chat().as_bytes(), piece),
                "{odd}"
            );
        }
    }
    let tool = |schema: &str| {
        let body = format!(r#"{{"tools":[{{"parameters":{schema}}}],{}"#, &chat()[1..]);
        facts(body.as_bytes(), 99)
    };
    let found = tool(&deep);
    assert_eq!(found.ending, Ending::Whole);
    assert_eq!(found.model.as_deref(), Some(&b"m"[..]));
    assert_ne!(found.beginning, tool("{}").beginning);
    let tokens = found.prompt_tokens.unwrap();
    assert!((1_000..1_300).contains(&tokens), "{tokens}");
}

/// Parts of a document that are not JSON. The test appends more of the document.
const ODD: [&str; 9] = [
    "'single': 'quotes'}",
    "/* a comment */ \"a\": 1}",
    "// a comment\n}",
    "unquoted: 1}",
    "\"a\" 1}",
    "\"a\": +1}",
    "\"a\": \"\\x41\"}",
    "\"a\": \0}",
    "}",
];

#[test]
fn what_stands_before_an_odd_place_holds() {
    let whole = facts(chat().as_bytes(), 50);
    for odd in ODD {
        let mut body = chat();
        body.pop();
        let body = format!("{body},{odd}");
        for piece in [1, 50, usize::MAX] {
            let found = facts(body.as_bytes(), piece);
            assert_eq!(found.ending, Ending::Broken, "{odd}");
            assert!(found.at_least, "{odd}");
            let same = BodyFacts {
                ending: Ending::Whole,
                at_least: false,
                ..found
            };
            assert_eq!(same, whole, "{odd}");
        }
    }
}

#[test]
fn nothing_behind_an_odd_place_is_believed() {
    for odd in ODD {
        let body = format!(r#"{{"stream":true,{odd},"model":"m","prompt":"four"}}"#);
        let found = facts(body.as_bytes(), 9);
        assert_eq!(found.ending, Ending::Broken, "{odd}");
        assert_eq!((found.stream, found.model), (Some(true), None), "{odd}");
        assert_eq!(found.prompt_tokens, None, "{odd}");
    }
    // The complete messages are known. The rest counts as prompt, as if it had not been read.
    let body = r#"{"messages":[{"role":"user","content":"hi there"},{'role':'assistant','content':'hello hello hello'}]}"#;
    let found = facts(body.as_bytes(), 9);
    let plain = r#"{"messages":[{"role":"user","content":"hi there"}]}"#;
    assert_eq!(found.conversation, facts(plain.as_bytes(), 9).conversation);
    assert_eq!(found.history_tokens, 0);
    let tokens = found.prompt_tokens.unwrap();
    assert!((2..20).contains(&tokens), "{tokens}");
}

#[test]
fn what_is_no_object_tells_nothing() {
    for body in [
        "[{\"model\":\"m\"}]",
        "\"text\"",
        "<html>",
        "17",
        "{",
        "\u{feff}[]",
    ] {
        let found = facts(body.as_bytes(), 2);
        let expected = if body == "{" || body == "17" {
            Ending::Unfinished
        } else {
            Ending::NotJson
        };
        let nothing = BodyFacts {
            ending: expected,
            at_least: expected == Ending::Unfinished,
            ..BodyFacts::default()
        };
        assert_eq!(found, nothing, "{body}");
    }
}

#[test]
fn what_stands_behind_the_document_is_none_of_it() {
    for behind in ["\n", "\0\0", " {\"model\":\"n\"}", "}", "trailing"] {
        let body = format!("{}{behind}", chat());
        for piece in [1, usize::MAX] {
            let found = facts(body.as_bytes(), piece);
            assert_eq!(found, facts(chat().as_bytes(), piece), "{behind:?}");
        }
    }
}
