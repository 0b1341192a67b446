//! When the reading ends, and that what is still to come makes no difference.

use proptest::prelude::*;

use super::{head, read, requests, words};
use crate::facts::{Body, BodyFacts, Ending};

/// Where the reading of `json` ends when it comes byte by byte, and how.
fn end_of(json: &str) -> (usize, Option<Ending>) {
    let head = head("/v1/chat/completions");
    let mut body = Body::new(head.route.shape);
    for (at, byte) in json.bytes().enumerate() {
        body.feed(&[byte]);
        if let Some(ending) = body.ending(&head) {
            return (at + 1, Some(ending));
        }
    }
    (json.len(), None)
}

/// What decisions go by.
fn decisive(facts: BodyFacts) -> BodyFacts {
    BodyFacts {
        ending: Ending::Whole,
        max_output_tokens: None,
        ..facts
    }
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
    // One byte may be the first half of a wide character.
    assert_eq!(end_of("[1]"), (2, Some(Ending::NotJson)));
    assert_eq!(end_of("{\"a\":}"), (6, Some(Ending::Broken)));
    assert_eq!(end_of("{\"a\""), (4, None));
}

#[test]
fn it_ends_once_prompt_model_and_stream_flag_are_known() {
    let parts = [
        r#""model":"m""#,
        r#""stream":true"#,
        r#""tools":[{"name":"f"}]"#,
        r#""system":"be brief""#,
        r#""messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"yes"}]"#,
    ];
    let rest = format!(r#","metadata":{{"note":"{}"}}}}"#, words(1, 5_000));
    for turn in 0..parts.len() {
        let mut parts = parts;
        parts.rotate_left(turn);
        let front = format!("{{{}", parts.join(","));
        let whole = format!("{front}{rest}");
        let (at, ending) = end_of(&whole);
        // A word like `true` ends with what stands behind it.
        let end = front.len() + usize::from(front.ends_with("true"));
        assert_eq!((at, ending), (end, Some(Ending::Enough)), "{front}");
        // Without any one of them it would have to go on.
        for left_out in 0..parts.len() {
            let mut fewer = parts.to_vec();
            fewer.remove(left_out);
            let body = format!("{{{}{rest}", fewer.join(","));
            assert_eq!(end_of(&body), (body.len(), Some(Ending::Whole)), "{body}");
        }
    }
}

#[test]
fn what_the_headers_tell_need_not_be_read() {
    let json = r#"{"system":"s","tools":[1],"messages":[{"role":"user","content":"q"}],"model":"#;
    let mut head = head("/generate_stream");
    let mut body = Body::new(head.route.shape);
    body.feed(json.as_bytes());
    assert_eq!(body.ending(&head), None);
    head.model = Some(b"m".to_vec());
    assert_eq!(body.ending(&head), Some(Ending::Enough));
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
    assert!(size_of::<Body>() <= 1_280, "{}", size_of::<Body>());
}

#[test]
fn what_is_behind_the_end_of_a_real_request_changes_nothing() {
    let mut early = 0;
    for case in requests::all() {
        let body = case.body.as_bytes();
        let head = head("/v1/chat/completions");
        let whole = read(&head, body, body.len(), &[usize::MAX]);
        for seen in 0..body.len() {
            let facts = read(&head, body, seen, &[usize::MAX]);
            if facts.ending == Ending::Enough {
                early += 1;
                assert_eq!(decisive(facts), decisive(whole.clone()), "{}", case.body);
            }
        }
    }
    assert!(early > 0, "none of them ended early");
}

proptest! {
    #[test]
    fn facts_that_were_enough_are_those_of_the_whole(
        order in Just(vec![0, 1, 2, 3, 4, 5]).prop_shuffle(),
        turns in prop::collection::vec("[a-z ]{0,40}", 1..5),
        long in any::<bool>(),
    ) {
        let system = words(2, if long { 2_000 } else { 20 });
        let roles = ["user", "assistant"].iter().cycle();
        let messages: Vec<String> = roles
            .zip(&turns)
            .map(|(role, text)| format!(r#"{{"role":"{role}","content":"{text}"}}"#))
            .collect();
        let parts = [
            r#""model":"m""#.to_owned(),
            r#""stream":false"#.to_owned(),
            r#""tools":[{"name":"f"}]"#.to_owned(),
            format!(r#""system":"{system}""#),
            format!(r#""messages":[{}]"#, messages.join(",")),
            r#""max_tokens":9,"user":"ann","text":{"format":{"type":"text"}},"seed":1"#.to_owned(),
        ];
        let parts: Vec<&str> = order.iter().map(|at| parts[*at].as_str()).collect();
        let json = format!("{{{}}}", parts.join(","));
        let (at, ending) = end_of(&json);
        let head = head("/v1/chat/completions");
        let seen = read(&head, json.as_bytes(), at, &[7]);
        let whole = read(&head, json.as_bytes(), json.len(), &[7]);
        prop_assert!(ending == Some(Ending::Enough) || order[5] != 5);
        prop_assert_eq!(decisive(seen), decisive(whole));
    }
}
