//! Bodies as clients write them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{head, read, words};
use crate::facts::{BodyFacts, Ending};

fn facts_in_pieces(json: &[u8], seen: usize, piece: usize) -> BodyFacts {
    read(&head("/v1/chat/completions"), json, seen, &[piece])
}

fn facts(value: &Value) -> BodyFacts {
    let json = value.to_string();
    facts_in_pieces(json.as_bytes(), json.len(), json.len())
}

fn chat(system: &str, turns: &[&str]) -> Value {
    let mut messages = vec![json!({"role": "system", "content": system})];
    for (index, turn) in turns.iter().enumerate() {
        let role = if index % 2 == 0 { "user" } else { "assistant" };
        messages.push(json!({"role": role, "content": turn}));
    }
    json!({"model": "m", "messages": messages})
}

#[test]
fn tokens_are_a_quarter_of_the_text() {
    let text = words(1, 8_000);
    for value in [
        json!({"prompt": text}),
        json!({"prompt": [&text[..3_000], &text[3_000..]]}),
        json!({"text": text, "sampling_params": {"max_new_tokens": 5}}),
        json!({"inputs": text, "parameters": {}}),
        json!({"input": text, "model": "embedder"}),
        json!({"messages": [{"role": "user", "content": text}]}),
        json!({"instructions": &text[..2_000], "input": [{"role": "user", "content": &text[2_000..]}]}),
    ] {
        let found = facts(&value).prompt_tokens.unwrap();
        assert!(
            (2_000..2_010).contains(&found),
            "{found} for {}",
            value.as_object().unwrap().keys().next().unwrap()
        );
    }
}

#[test]
fn token_ids_count_one_each() {
    let ids: Vec<u32> = (0..900).collect();
    assert_eq!(facts(&json!({"prompt": ids})).prompt_tokens, Some(900));
    assert_eq!(
        facts(&json!({"prompt": [ids, [1, 2, 3]]})).prompt_tokens,
        Some(903)
    );
    assert_eq!(facts(&json!({"input_ids": ids})).prompt_tokens, Some(900));
    assert_ne!(
        facts(&json!({"input_ids": ids})).beginning,
        facts(&json!({"input_ids": ids.iter().rev().collect::<Vec<_>>()})).beginning
    );
}

#[test]
fn a_document_in_plain_text_counts_as_text() {
    let text = words(5, 8_000);
    let tokens = |source: &str| {
        let json = format!(
            r#"{{"messages": [{{"role": "user", "content": [{{"type": "document", "source": {source}}}]}}]}}"#
        );
        facts_in_pieces(json.as_bytes(), json.len(), 100)
            .prompt_tokens
            .unwrap()
    };
    let plain = tokens(&format!(
        r#"{{"type": "text", "media_type": "text/plain", "data": "{text}"}}"#
    ));
    assert!((2_000..2_010).contains(&plain), "{plain}");
    let base64 = tokens(&format!(
        r#"{{"type": "base64", "media_type": "application/pdf", "data": "{text}"}}"#
    ));
    assert!((5_000..5_010).contains(&base64), "{base64}");
}

#[test]
fn an_image_counts_as_an_image_and_not_as_its_base64_text() {
    let data = format!("data:image/png;base64,{}", "A".repeat(400_000));
    for (part, tokens) in [
        (
            json!({"type": "image_url", "image_url": {"url": data}}),
            1_000,
        ),
        (json!({"type": "input_image", "image_url": data}), 1_000),
        (
            json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}),
            1_000,
        ),
        (
            json!({"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}),
            500,
        ),
    ] {
        let body = json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "what is this"}, part]}]});
        let found = facts(&body).prompt_tokens.unwrap();
        assert!(
            (tokens..tokens + 30).contains(&found),
            "{found} for {}",
            part["type"]
        );
        // Cut in the middle of the data: a medium that was begun counts as one. What follows it is
        // not guessed from the data's length.
        let cut = facts_in_pieces(body.to_string().as_bytes(), 16_384, 16_384);
        let found = cut.prompt_tokens.unwrap();
        assert!((tokens..tokens + 30).contains(&found), "{found}");
        assert!(cut.at_least);
    }
}

#[test]
fn a_link_in_a_tools_arguments_is_text() {
    let body = json!({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "input": {"url": "http://example/"}}]}]});
    assert!(facts(&body).prompt_tokens.unwrap() < 20);
}

#[test]
fn the_shared_beginning_is_the_system_prompt_and_the_tools() {
    let system = words(1, 6_000);
    let tools =
        json!([{"type": "function", "function": {"name": "f", "description": words(2, 2_000)}}]);
    let one = facts(&chat(&system, &["a"]));
    let two = facts(&chat(&system, &["b", "c", "d"]));
    assert_eq!(one.beginning, two.beginning);
    assert_eq!(one.beginning.unwrap().tokens, 1_500);
    let mut with_tools = chat(&system, &["a"]);
    with_tools["tools"] = tools;
    let three = facts(&with_tools).beginning.unwrap();
    assert_ne!(three.digest, one.beginning.unwrap().digest);
    assert!((2_000..2_050).contains(&three.tokens), "{}", three.tokens);
    assert_ne!(
        facts(&chat(&words(9, 6_000), &["a"])).beginning,
        one.beginning
    );
}

#[test]
fn the_first_blocks_of_a_text_that_nothing_marks_are_told_apart() {
    let text = words(3, 9_000);
    let blocks = |text: String, cut: usize| {
        let json = json!({"prompt": text}).to_string();
        let found = facts_in_pieces(json.as_bytes(), json.len(), cut);
        found.beginning.unwrap().blocks
    };
    let one = blocks(format!("{text} and one"), 700);
    assert_eq!(
        one,
        blocks(format!("{text} and one"), 16_384),
        "however it is cut"
    );
    // The blocks that end at 512, 768, 1,024, 1,536 and 2,048 tokens of 4 bytes are there.
    assert_eq!(
        one.map(|block| block > 0),
        [true, true, true, true, true, false, false]
    );
    let other = blocks(
        format!("{}, other than that{}", &text[..4_200], &text[4_200..]),
        999,
    );
    let alike = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    assert_eq!(alike, 3, "the first 1,024 tokens");
    let long = blocks(words(4, 40_000), 16_384);
    assert!(long.iter().all(|block| *block > 0));
    // A system prompt stands for itself, even if its end is different for each user.
    let own = |name: &str| {
        facts(&chat(&format!("{text}{name}"), &["a"]))
            .beginning
            .unwrap()
    };
    let (ann, bob) = (own("Ann"), own("Bob"));
    assert_ne!(ann.digest, bob.digest);
    assert!(ann.head.is_some() && ann.head == bob.head);
    assert_eq!(ann.blocks, bob.blocks);
    assert_eq!(ann.blocks, one);
}

#[test]
fn without_a_long_system_prompt_it_is_the_first_256_tokens() {
    let text = words(3, 5_000);
    let one = facts(&json!({"prompt": format!("{text} and one")})).beginning;
    let two = facts(&json!({"prompt": format!("{text} and two")})).beginning;
    assert_eq!(one, two);
    assert_eq!(one.unwrap().tokens, 256);
    assert_eq!(facts(&json!({"prompt": &text[..1_000]})).beginning, None);
    assert_ne!(facts(&json!({"prompt": format!("x{text}")})).beginning, one);
}

#[test]
fn turns_of_a_conversation_share_its_key_and_tell_their_history() {
    let (question, answer, next) = (words(1, 800), words(2, 2_000), words(3, 400));
    let first = facts(&chat("be brief", &[&question]));
    let later = facts(&chat("be brief", &[&question, &answer, &next]));
    assert!(first.conversation.is_some());
    assert_eq!(first.conversation, later.conversation);
    assert_eq!(first.history_tokens, 0);
    assert_eq!(later.history_tokens, (8 + 800 + 2_000) / 4);
    assert_eq!(later.prompt_tokens, Some((8 + 800 + 2_000 + 400) / 4));
    assert_ne!(
        facts(&chat("be brief", &[&words(9, 800)])).conversation,
        first.conversation
    );
    assert_ne!(
        facts(&chat("be long", &[&question])).conversation,
        first.conversation
    );
}

#[test]
fn results_of_tools_are_new_and_what_the_assistant_said_before_is_not() {
    let body = json!({"messages": [
        {"role": "user", "content": words(1, 400)},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "function": {"name": "ls", "arguments": words(2, 400)}}]},
        {"role": "tool", "tool_call_id": "c", "content": words(3, 4_000)},
    ]});
    let found = facts(&body);
    assert!(
        (200..205).contains(&found.history_tokens),
        "{}",
        found.history_tokens
    );
    assert!(
        (1_200..1_206).contains(&found.prompt_tokens.unwrap()),
        "{:?}",
        found.prompt_tokens
    );
}

#[test]
fn the_order_of_keys_makes_no_difference() {
    let messages = r#"[{"content":"SYS","role":"system"},{"content":"hello","role":"user"}]"#
        .replace("SYS", &words(1, 3_000));
    let turned = r#"[{"role":"system","content":"SYS"},{"role":"user","content":"hello"}]"#
        .replace("SYS", &words(1, 3_000));
    let bodies = [
        format!(r#"{{"model":"m","stream":true,"messages":{messages},"user":"u"}}"#),
        format!(r#"{{"user":"u","messages":{turned},"stream":true,"model":"m"}}"#),
    ];
    let found: Vec<_> = bodies
        .iter()
        .map(|body| facts_in_pieces(body.as_bytes(), body.len(), 100))
        .collect();
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0].model.as_deref(), Some(&b"m"[..]));
}

#[test]
fn fields_behind_the_messages_do_not_change_the_conversation() {
    // anthropic-python writes the system prompt last. Once the conversation is long, it is out of
    // sight.
    let body = |turns: usize| {
        let messages: Vec<Value> = (0..turns)
            .map(|i| json!({"role": if i % 2 == 0 { "user" } else { "assistant" }, "content": words(i, 3_000)}))
            .collect();
        format!(
            r#"{{"max_tokens":9,"messages":{},"model":"m","system":"{}"}}"#,
            json!(messages),
            words(50, 2_000)
        )
    };
    let (short, long) = (body(1), body(21));
    let short = facts_in_pieces(short.as_bytes(), 16_384, 1_000);
    let long_facts = facts_in_pieces(long.as_bytes(), 16_384, 1_000);
    assert_eq!(short.conversation, long_facts.conversation);
    assert_eq!(short.model.as_deref(), Some(&b"m"[..]));
    assert_eq!(long_facts.model, None, "what was not seen is absent");
    let whole = facts_in_pieces(long.as_bytes(), long.len(), 1_000);
    let (seen, all) = (
        long_facts.prompt_tokens.unwrap(),
        whole.prompt_tokens.unwrap(),
    );
    assert!(
        seen.abs_diff(all) * 50 < all,
        "{seen} estimated by length, {all} counted"
    );
    assert!(
        long_facts.history_tokens >= 2_000 && long_facts.history_tokens <= whole.history_tokens
    );
}

#[test]
fn a_first_message_that_was_not_seen_whole_names_no_conversation() {
    let body = chat("s", &[&words(1, 50_000)]).to_string();
    let found = facts_in_pieces(body.as_bytes(), 16_384, 16_384);
    assert_eq!(found.conversation, None);
    assert!(found.beginning.is_some());
    assert!(
        (12_400..12_600).contains(&found.prompt_tokens.unwrap()),
        "{:?}",
        found.prompt_tokens
    );
}

#[test]
fn the_clients_own_name_for_the_conversation_is_the_last_resort() {
    let text = words(1, 100);
    let named = |field: &str, name: &str| facts(&json!({field: name, "prompt": text})).conversation;
    assert!(named("user", "ann").is_some());
    assert_ne!(named("user", "ann"), named("user", "bob"));
    assert_eq!(named("user", "ann"), named("session_id", "ann"));
    assert_eq!(named("user", ""), None);
    let both = facts(&json!({"prompt_cache_key": "k", "user": "ann", "prompt": text})).conversation;
    assert_eq!(both, named("prompt_cache_key", "k"));
}

#[test]
fn whether_the_answer_is_streamed_is_the_word_at_the_top_level_and_nothing_else() {
    let of = |json: &str| facts_in_pieces(json.as_bytes(), json.len(), 3).stream;
    assert_eq!(of(r#"{"prompt":"p","stream":true}"#), Some(true));
    assert_eq!(of(r#"{"stream" : false,"prompt":"p"}"#), Some(false));
    for other in [
        r#"{"prompt":"p"}"#,
        r#"{"prompt":"p","stream":null}"#,
        r#"{"prompt":"p","stream":"true"}"#,
        r#"{"prompt":"p","stream":[true]}"#,
        r#"{"prompt":"p","options":{"stream":true}}"#,
    ] {
        assert_eq!(of(other), None, "{other}");
    }
    // The field stands after the part that was read.
    let json = br#"{"prompt":"p","stream":true}"#;
    assert_eq!(facts_in_pieces(json, json.len() - 6, 5).stream, None);
}

#[test]
fn fields_of_another_type_than_expected_are_absent() {
    for value in [
        json!({"model": 3, "messages": "hello", "tools": null, "system": 7, "user": {"a": "b"}}),
        json!({"model": ["a"], "messages": {"role": "user"}, "prompt": {"id": "p"}, "text": {"format": {"type": "text"}}}),
        json!({"messages": [[{"role": "user"}], null, 3, {"role": ["user"], "content": {"a": [1]}}]}),
        json!({"messages": [{"role": "user"}, {}]}),
    ] {
        let found = facts(&value);
        assert_eq!(
            (found.model, found.beginning, found.history_tokens),
            (None, None, 0),
            "{value}"
        );
        assert!(found.prompt_tokens.unwrap() < 10, "{value}");
    }
    let no_object = facts(&json!([1, 2]));
    assert_eq!(
        (no_object.ending, no_object.prompt_tokens),
        (Ending::NotJson, None)
    );
}

proptest! {
    #[test]
    fn how_the_body_is_cut_makes_no_difference(system in ".{0,2000}", turns in prop::collection::vec(".{0,300}", 1..5), piece in 1..500_usize) {
        let turns: Vec<&str> = turns.iter().map(String::as_str).collect();
        let mut body = chat(&system, &turns);
        body["tools"] = json!([{"name": system}]);
        let json = body.to_string();
        prop_assert_eq!(facts_in_pieces(json.as_bytes(), json.len(), piece), facts_in_pieces(json.as_bytes(), json.len(), json.len()));
    }

    #[test]
    fn whatever_is_seen_of_a_body_is_never_more_than_there_is(turns in prop::collection::vec("[a-z ]{0,300}", 1..6), seen in any::<prop::sample::Index>()) {
        let turns: Vec<&str> = turns.iter().map(String::as_str).collect();
        let json = chat("system", &turns).to_string();
        let seen = seen.index(json.len() + 1);
        let (part, whole) = (facts_in_pieces(json.as_bytes(), seen, 64), facts_in_pieces(json.as_bytes(), json.len(), 64));
        prop_assert!(part.history_tokens <= whole.history_tokens);
        prop_assert!(part.conversation.is_none() || part.conversation == whole.conversation);
        prop_assert!(part.prompt_tokens.unwrap_or(0) <= json.len() as u64 / 4 + 1);
    }
}
