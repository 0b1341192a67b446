//! How many tokens a prompt counts, whatever its form.

use super::{head, read};

#[test]
fn text_in_escapes_counts_by_what_it_stands_for_also_where_it_is_cut() {
    let head = head("/v1/chat/completions");
    let plain = "\u{4f60}\u{597d}".repeat(25_000);
    let escaped = "\\u4f60\\u597d".repeat(25_000);
    let code = "if x {\\n\\treturn \\\"y\\\"\\n}\\n".repeat(4_000);
    let unescaped = "if x {\n\treturn \"y\"\n}\n".repeat(4_000);
    for (text, stands_for) in [
        (plain.as_str(), plain.len()),
        (&escaped, plain.len()),
        (&code, unescaped.len()),
    ] {
        let json = format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}]}}"#);
        let facts = read(&head, json.as_bytes(), 16_384, &[1_000]);
        let tokens = facts.prompt_tokens.unwrap() as f64 * 4.0 / stands_for as f64;
        assert!((0.99..1.02).contains(&tokens), "{tokens}");
    }
}

#[test]
fn a_tensor_of_numbers_that_are_no_ids_is_one_medium() {
    let head = head("/v2/models/m/infer");
    let tokens = |kind: &str, data: &str| {
        let json = format!(
            r#"{{"inputs":[{{"name":"x","shape":[1],"datatype":"{kind}","data":[{data}]}}]}}"#
        );
        let facts = read(&head, json.as_bytes(), 16_384, &[1_000]);
        (facts.prompt_tokens, facts.at_least)
    };
    let list = |one: &str, count| vec![one; count].join(",");
    assert_eq!(tokens("FP32", &list("0.25", 1_000)), (Some(1_000), false));
    assert_eq!(tokens("UINT8", &list("7", 1_000)), (Some(1_000), false));
    assert_eq!(
        tokens("FP32", &list("0.25", 3)),
        (Some(0), false),
        "settings"
    );
    assert_eq!(
        tokens("INT64", &list("7", 1_000)),
        (Some(1_000), false),
        "ids"
    );
    assert_eq!(tokens("INT64", &list("7", 900)).0, Some(900));
    let (seen, at_least) = tokens("FP32", &list("0.25", 100_000));
    assert!(at_least && seen.unwrap_or(0) <= 1_000, "{seen:?}");
}

#[test]
fn a_medium_without_an_object_around_is_one_where_its_type_comes_first() {
    let head = head("/v1/messages");
    let data = "iVBORw0KGgo".repeat(20_000);
    let json = format!(
        r#"{{"messages":[{{"role":"tool","content":[{{"type":"image","data":"{data}","mimeType":"image/png"}},{{"type":"text","text":"four"}}]}}]}}"#
    );
    let facts = read(&head, json.as_bytes(), json.len(), &[1_000]);
    assert_eq!(facts.prompt_tokens, Some(1_001));
}
