//! When the reading ends.

use super::{head, read, words};
use crate::facts::{Body, Ending};

/// Returns where the reading of `json` ends if it comes byte by byte, and how.
fn end_of(json: &str) -> (usize, Option<Ending>) {
    let mut body = Body::new(head("/v1/chat/completions").route.shape);
    for (at, byte) in json.bytes().enumerate() {
        body.feed(&[byte]);
        if let Some(ending) = body.ending() {
            return (at + 1, Some(ending));
        }
    }
    (json.len(), None)
}

#[test]
fn it_ends_with_the_document_and_not_with_the_stream() {
    let json = r#"{"model":"m","messages":[]}"#;
    assert_eq!(end_of(json), (json.len(), Some(Ending::Whole)));
    assert_eq!(
        end_of(&format!("{json} \n\n")),
        (json.len(), Some(Ending::Whole))
    );
}

#[test]
fn it_ends_where_the_document_turns_out_to_be_none() {
    // A single byte may be the first half of a wide character.
    assert_eq!(end_of("[1]"), (2, Some(Ending::NotJson)));
    assert_eq!(end_of("{\"a\":}"), (6, Some(Ending::Broken)));
    assert_eq!(end_of("{\"a\""), (4, None));
}

#[test]
fn it_goes_on_behind_prompt_model_and_stream_flag_because_what_decides_may_stand_anywhere() {
    let json = r#"{"model":"m","stream":true,"tools":[1],"system":"s","messages":[{"role":"user","content":"q"}],"cache_salt":"ann"}"#;
    assert_eq!(end_of(json), (json.len(), Some(Ending::Whole)));
}

#[test]
fn where_a_body_may_name_what_a_server_keeps_all_of_it_is_wanted_until_it_does() {
    let wanted = |path: &str, json: &str| {
        let head = head(path);
        let mut body = Body::new(head.route.shape);
        body.feed(json.as_bytes());
        body.may_name(&head)
    };
    let input = r#"{"input":"hi","#;
    assert!(wanted("/v1/responses", input) && wanted("/openai/responses/compact", input));
    assert!(!wanted("/v1/chat/completions", input) && !wanted("/v1/responses/resp_1", input));
    let named = [input, r#""previous_response_id":"resp_1""#].concat();
    assert!(!wanted("/v1/responses", &named));
}

#[test]
fn the_model_behind_200_kb_of_messages_is_absent_at_the_cap() {
    let json = format!(
        r#"{{"messages":[{{"role":"user","content":"hi"}},{{"role":"assistant","content":"{}"}}],"model":"m","stream":true}}"#,
        words(1, 200_000)
    );
    let facts = read(
        &head("/v1/chat/completions"),
        json.as_bytes(),
        16_384,
        &[1_000],
    );
    assert_eq!((facts.ending, &facts.model), (Ending::Cap, &None));
    assert!(facts.conversation.is_some());
    let tokens = facts.prompt_tokens.unwrap();
    assert!((50_000..50_050).contains(&tokens), "{tokens}");
}

#[test]
fn the_state_of_a_reading_is_about_a_kilobyte() {
    assert!(size_of::<Body>() <= 1_344, "{}", size_of::<Body>());
}
