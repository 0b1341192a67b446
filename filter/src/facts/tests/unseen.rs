//! The unread part of a body is prompt if it begins within the prompt's text. Otherwise nothing is
//! made up.

use serde_json::json;

use super::{head, words};
use crate::facts::{Body, BodyFacts, Ending, Length};

const CAP_BYTES: usize = 16 * 1024;

/// Returns the facts at the cap.
fn at_cap(json: &str, length: Length) -> BodyFacts {
    let mut body = Body::new(head("/v1/chat/completions").route.shape);
    body.feed(&json.as_bytes()[..CAP_BYTES]);
    body.facts(Ending::Cap, length)
}

fn chat(content: &str) -> String {
    json!({"messages": [{"role": "user", "content": content}], "model": "m"}).to_string()
}

fn whole(json: &str) -> Length {
    Length::Whole(json.len() as u64)
}

#[test]
fn without_a_length_a_long_prompt_is_at_least_what_was_read_and_what_passes_later_counts() {
    let body = chat(&words(1, 405_000));
    let known = at_cap(&body, whole(&body));
    let tokens = known.prompt_tokens.unwrap();
    assert!((101_250..101_300).contains(&tokens), "{tokens}");
    assert!(!known.at_least && known.rest.is_none());
    let unknown = at_cap(&body, Length::AtLeast(CAP_BYTES as u64));
    let least = unknown.prompt_tokens.unwrap();
    assert!((4_080..4_096).contains(&least), "{least}");
    assert!(unknown.at_least);
    let rest = unknown.rest.unwrap();
    assert_eq!(rest.prompt_tokens(body.len() as u64), tokens);
    assert_eq!(rest.prompt_tokens(CAP_BYTES as u64), least);
    assert_eq!(rest.prompt_tokens(0), least);
    assert_eq!(
        rest.prompt_tokens(u64::MAX),
        least + (u64::MAX - 16_384) / 4
    );
    // More bytes had come than may be read.
    let burst = at_cap(&body, Length::AtLeast(65_536));
    assert!((16_370..16_390).contains(&burst.prompt_tokens.unwrap()));
}

#[test]
fn a_blob_in_a_field_that_is_no_prompt_is_none() {
    let blob = words(1, 200_000);
    let question = json!([{"role": "user", "content": "q"}]);
    for (fields, seen) in [
        (format!(r#""blob":"{blob}","messages":{question}"#), None),
        (
            format!(r#""blob":{{"messages":["{blob}"]}},"messages":{question}"#),
            None,
        ),
        (
            format!(r#""text":{{"format":"{blob}"}},"messages":{question}"#),
            None,
        ),
        (format!(r#""prompt":{{"id":"{blob}"}},"input":"q""#), None),
        (format!(r#""model":["{blob}"],"input":"q""#), None),
        // What stands before the blob is known.
        (format!(r#""messages":{question},"blob":"{blob}""#), Some(0)),
        (format!(r#""prompt":"four","blob":"{blob}""#), Some(1)),
    ] {
        let body = format!("{{{fields}}}");
        for length in [whole(&body), Length::AtLeast(CAP_BYTES as u64)] {
            let facts = at_cap(&body, length);
            assert_eq!(facts.prompt_tokens, seen, "{}", &body[..60]);
            assert!(facts.at_least && facts.rest.is_none());
        }
    }
}

#[test]
fn tools_and_system_prompts_are_prompt() {
    let long = words(1, 100_000);
    for field in [
        "tools",
        "functions",
        "system",
        "instructions",
        "prompt",
        "documents",
    ] {
        let body = json!({field: [{"description": long}], "model": "m"}).to_string();
        let tokens = at_cap(&body, whole(&body)).prompt_tokens.unwrap();
        assert!((25_000..25_030).contains(&tokens), "{field}: {tokens}");
    }
}

#[test]
fn token_ids_that_were_not_read_count_as_those_that_were() {
    let ids: Vec<u32> = (0..40_000).map(|id| 10_000 + id).collect();
    let body = json!({"prompt": [ids], "model": "m"}).to_string();
    let tokens = at_cap(&body, whole(&body)).prompt_tokens.unwrap();
    assert!((39_990..40_010).contains(&tokens), "{tokens}");
}

#[test]
fn media_count_by_kind_wherever_the_cut_falls_and_in_every_order_of_keys() {
    let data = "QUJD".repeat(10_000);
    for (part, tokens) in [
        (
            format!(r#"{{"type":"image_url","image_url":{{"url":"{data}","detail":"low"}}}}"#),
            1_000,
        ),
        (
            format!(r#"{{"image_url":{{"detail":"low","url":"{data}"}},"type":"image_url"}}"#),
            1_000,
        ),
        (
            format!(
                r#"{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{data}"}}}}"#
            ),
            1_000,
        ),
        (
            format!(
                r#"{{"source":{{"data":"{data}","media_type":"image/png","type":"base64"}},"type":"image"}}"#
            ),
            1_000,
        ),
        (
            format!(r#"{{"type":"image","source":{{"type":"file","file_id":"{data}"}}}}"#),
            1_000,
        ),
        (
            format!(
                r#"{{"type":"document","source":{{"type":"base64","media_type":"application/pdf","data":"{data}"}}}}"#
            ),
            5_000,
        ),
        (
            format!(r#"{{"type":"file","file":{{"file_data":"{data}"}}}}"#),
            5_000,
        ),
        (
            format!(r#"{{"type":"input_file","file_id":"{data}"}}"#),
            5_000,
        ),
        (
            format!(r#"{{"type":"input_audio","input_audio":{{"data":"{data}","format":"wav"}}}}"#),
            500,
        ),
        (
            format!(r#"{{"type":"audio_url","audio_url":{{"url":"{data}"}}}}"#),
            500,
        ),
        (
            format!(r#"{{"type":"video_url","video_url":{{"url":"{data}"}}}}"#),
            6_000,
        ),
        (
            format!(r#"{{"inline_data":{{"mime_type":"video/mp4","data":"{data}"}}}}"#),
            6_000,
        ),
        (
            format!(r#"{{"inlineData":{{"mimeType":"image/png","data":"{data}"}}}}"#),
            1_000,
        ),
    ] {
        let body = format!(r#"{{"messages":[{{"role":"user","content":[{part}]}}]}}"#);
        for length in [whole(&body), Length::AtLeast(CAP_BYTES as u64)] {
            let facts = at_cap(&body, length);
            assert_eq!(facts.prompt_tokens, Some(tokens), "{}", &body[..120]);
            assert!(facts.at_least && facts.rest.is_none());
        }
        let facts = super::read(&head("/"), body.as_bytes(), body.len(), &[700]);
        let found = facts.prompt_tokens.unwrap();
        assert!(
            (tokens..tokens + 3).contains(&found),
            "{found} of {}",
            &body[..120]
        );
    }
    // The end shows that it is of another kind, or no medium at all.
    for (part, tokens) in [
        (
            format!(
                r#"{{"source":{{"data":"{data}","media_type":"application/pdf","type":"base64"}},"type":"document"}}"#
            ),
            5_000,
        ),
        (
            format!(r#"{{"source":{{"data":"{data}","type":"text"}},"type":"document"}}"#),
            10_000,
        ),
    ] {
        let body = format!(r#"{{"messages":[{{"role":"user","content":[{part}]}}]}}"#);
        let facts = super::read(&head("/"), body.as_bytes(), body.len(), &[700]);
        assert_eq!(facts.prompt_tokens, Some(tokens), "{}", &body[..120]);
        assert_eq!(
            at_cap(&body, whole(&body)).prompt_tokens,
            Some(1_000),
            "not told yet"
        );
    }
}

#[test]
fn lists_of_images_are_as_many() {
    let (a, b) = ("QUJD".repeat(9_000), "REVG".repeat(9_000));
    for body in [
        json!({"messages": [{"role": "user", "content": "q", "images": [a, b]}]}),
        json!({"prompt": "q", "images": [a, b]}),
        json!({"text": "q", "image_data": [a, {"url": b, "detail": "high"}]}),
    ] {
        let body = body.to_string();
        let facts = super::read(&head("/"), body.as_bytes(), body.len(), &[700]);
        assert_eq!(facts.prompt_tokens, Some(2_000), "{}", &body[..60]);
    }
}

#[test]
fn what_a_model_hands_to_a_tool_is_text_whatever_its_keys() {
    let input = json!({"source": "a.rs", "file": "b.rs", "image": "c", "images": ["d"], "url": "e", "type": "f", "nested": {"data": "g"}});
    for message in [
        json!({"role": "assistant", "content": [{"type": "tool_use", "input": input}]}),
        json!({"role": "assistant", "tool_calls": [{"function": {"arguments": input}}]}),
        json!({"role": "model", "parts": [{"functionCall": {"args": input}}]}),
    ] {
        let body = json!({"messages": [message]}).to_string();
        let facts = super::read(&head("/"), body.as_bytes(), body.len(), &[7]);
        // 4 + 4 + 5 times 1 byte.
        assert_eq!(facts.prompt_tokens, Some(3), "{body}");
    }
    let search = json!({"type": "search_result", "source": "http://a", "content": []});
    let body = json!({"messages": [{"role": "user", "content": [search]}]}).to_string();
    let facts = super::read(&head("/"), body.as_bytes(), body.len(), &[7]);
    assert_eq!(facts.prompt_tokens, Some(2));
}

#[test]
fn of_two_fields_with_one_key_the_last_counts() {
    let of = |json: &str| super::read(&head("/"), json.as_bytes(), json.len(), &[5]);
    let one = r#"[{"role":"user","content":"one one one one one"}]"#;
    let two = r#"[{"role":"user","content":"two!"}]"#;
    let last = of(&format!(r#"{{"model":"b","messages":{two}}}"#));
    let both = of(&format!(
        r#"{{"model":"a","messages":{one},"mess\u0061ges":{two},"model":"b"}}"#
    ));
    assert_eq!(both, last);
    assert_eq!(both.prompt_tokens, Some(1));
    assert_eq!(of(r#"{"stream":true,"stream":"no"}"#).stream, None);
    assert_eq!(of(r#"{"model":"m","model":{}}"#).model, None);
    // Fields of different names add up.
    assert_eq!(
        of(r#"{"query":"four","documents":["four","four"]}"#).prompt_tokens,
        Some(3)
    );
}
