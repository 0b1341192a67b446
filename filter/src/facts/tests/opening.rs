//! Conversations whose first user message is longer than what is read.

use super::{head, read, words};
use crate::facts::{BodyFacts, Ending};

const CAP_BYTES: usize = 16 * 1024;

/// A message as most clients write it, the role first.
fn message(role: &str, content: &str) -> String {
    format!(r#"{{"role":"{role}","content":{content}}}"#)
}

fn text(seed: usize, bytes: usize) -> String {
    format!("\"{}\"", words(seed, bytes))
}

fn facts(messages: &[String], pieces: &[usize]) -> BodyFacts {
    let body = format!(r#"{{"messages":[{}],"model":"m"}}"#, messages.join(","));
    let head = head("/v1/chat/completions");
    read(&head, body.as_bytes(), CAP_BYTES, pieces)
}

#[test]
fn what_was_read_of_a_long_first_message_is_the_same_in_every_turn() {
    let image = format!(
        r#"[{{"type":"text","text":"look"}},{{"type":"image_url","image_url":{{"url":"data:{}"}}}}]"#,
        "QUJD".repeat(30_000)
    );
    for first in [text(1, 50_000), image] {
        for system in [None, Some(text(2, 5_000))] {
            let system = system.map(|system| message("system", &system));
            let first: Vec<String> = system
                .into_iter()
                .chain([message("user", &first)])
                .collect();
            let mut later = first.clone();
            later.extend([
                message("assistant", &text(3, 900)),
                message("user", &text(4, 70)),
            ]);
            let opening = facts(&first, &[CAP_BYTES]).opening;
            assert!(opening.is_some());
            for pieces in [&[1_000][..], &[1], &[16_000, 384], &[4_096]] {
                let later = facts(&later, pieces);
                assert_eq!(later.opening, opening);
                assert_eq!((later.conversation, later.ending), (None, Ending::Cap));
            }
        }
    }
}

#[test]
fn other_beginnings_are_other_conversations() {
    let of = |system: usize, seed: usize| {
        let messages = [
            message("system", &text(system, 3_000)),
            message("user", &text(seed, 50_000)),
        ];
        facts(&messages, &[999]).opening.unwrap()
    };
    assert_eq!(of(1, 2), of(1, 2));
    assert_ne!(of(1, 2), of(1, 3));
    assert_ne!(of(1, 2), of(4, 2));
    let image = |head: &str| {
        let data = format!(r#"[{{"image_url":"{head}{}"}}]"#, "QUJD".repeat(9_000));
        facts(&[message("user", &data)], &[999]).opening.unwrap()
    };
    assert_ne!(image("a"), image("b"));
}

#[test]
fn what_many_conversations_may_begin_with_names_none() {
    let long = text(1, 50_000);
    for messages in [
        // A long system prompt, or what may be one.
        vec![message("system", &long)],
        vec![format!(r#"{{"content":{long},"role":"user"}}"#)],
        // Hardly any of the message is seen.
        vec![message("system", &text(2, 15_500)), message("user", &long)],
        // Only the answer is cut, so the conversation has its own key.
        vec![message("user", &text(3, 100)), message("assistant", &long)],
        vec![
            message("user", &text(3, 100)),
            message("assistant", "\"\""),
            message("user", &long),
        ],
        vec![message("assistant", &long)],
    ] {
        assert_eq!(facts(&messages, &[999]).opening, None);
    }
    // Less was read than may be read. Another turn may be read up to there or further.
    let body = format!(r#"{{"messages":[{}]}}"#, message("user", &long));
    let mut slow = crate::facts::Body::new(head("/").route.shape);
    slow.feed(&body.as_bytes()[..9_000]);
    let length = crate::facts::Length::Whole(body.len() as u64);
    assert_eq!(slow.facts(Ending::Unfinished, length).opening, None);
}

#[test]
fn an_answer_that_goes_on_beyond_what_is_read_is_history() {
    let of = |role| {
        let messages = [
            message("user", &text(1, 400)),
            message(role, &text(2, 50_000)),
        ];
        facts(&messages, &[999])
    };
    let found = of("assistant");
    assert!(found.is_cut && found.conversation.is_some());
    assert!((4_000..4_096).contains(&found.history_tokens), "{found:?}");
    assert_eq!(of("user").history_tokens, 0);
}

#[test]
fn a_first_message_at_the_edge_of_what_is_read_has_one_name_in_every_turn() {
    for bytes in 16_250..16_400 {
        let first = [message("user", &text(1, bytes))];
        let mut later = first.to_vec();
        later.push(message("assistant", &text(2, 300)));
        let names = |facts: BodyFacts| (facts.conversation, facts.opening);
        let one = names(facts(&first, &[700]));
        assert_eq!(one, names(facts(&later, &[900])), "{bytes}");
        assert!(one.0.is_some() != one.1.is_some(), "{bytes}");
    }
}
