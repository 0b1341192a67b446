//! Prompts as long as real ones: the first requests of public traces (Azure LLM inference 2023,
//! CC-BY 4.0; Mooncake), in tokens.

use serde_json::json;

use super::{head, read, words};
use crate::facts::Ending;

const AZURE_CONVERSATION: [usize; 16] = [
    374, 396, 879, 91, 91, 381, 1_313, 388, 242, 209, 394, 394, 1_315, 2_221, 389, 415,
];
const AZURE_CODE: [usize; 16] = [
    4_808, 3_180, 110, 7_433, 34, 374, 6_985, 34, 1_145, 201, 137, 7_427, 1_555, 3_893, 1_827, 394,
];
/// Every 25th request.
const MOONCAKE_CONVERSATION: [usize; 16] = [
    6_758, 45_922, 38_383, 36_422, 2_885, 1_895, 9_421, 7_446, 1_577, 22_075, 1_035, 7_736, 4_743,
    10_602, 10_048, 20_422,
];
const CAP_BYTES: usize = 16 * 1024;

fn lengths() -> impl Iterator<Item = usize> {
    [AZURE_CONVERSATION, AZURE_CODE, MOONCAKE_CONVERSATION]
        .into_iter()
        .flatten()
}

#[test]
fn the_estimate_at_the_cap_is_the_length_of_the_prompt_for_every_real_length() {
    for (seed, tokens) in lengths().enumerate() {
        let text = words(seed, tokens * 4);
        let chat =
            json!({"messages": [{"role": "user", "content": text}], "model": "m", "stream": true});
        for body in [chat, json!({"model": "m", "prompt": text})] {
            let body = body.to_string();
            let facts = read(
                &head("/v1/chat/completions"),
                body.as_bytes(),
                CAP_BYTES,
                &[1_400],
            );
            let is_whole = body.len() <= CAP_BYTES;
            assert_eq!(facts.ending == Ending::Whole, is_whole, "{tokens}");
            let found = facts.prompt_tokens.unwrap();
            // What stands around the text counts as unseen text.
            let more = if is_whole { 0 } else { 30 };
            let expected = tokens as u64..=tokens as u64 + more;
            assert!(expected.contains(&found), "{found} for {tokens}");
            assert_eq!(facts.beginning.is_some(), tokens >= 256, "{tokens}");
        }
    }
}

#[test]
fn turns_of_real_lengths_keep_their_conversation_as_long_as_the_first_fits() {
    let lengths: Vec<usize> = lengths().collect();
    for (seed, turns) in lengths.windows(3).enumerate() {
        let message = |at: usize| {
            let role = if at == 1 { "assistant" } else { "user" };
            json!({"role": role, "content": words(seed + at, turns[at] * 4)})
        };
        let of = |turns: usize| {
            let messages: Vec<_> = (0..turns).map(message).collect();
            let body = json!({"messages": messages}).to_string();
            read(
                &head("/v1/chat/completions"),
                body.as_bytes(),
                CAP_BYTES,
                &[4_096],
            )
            .conversation
        };
        let (first, later) = (of(1), of(3));
        assert_eq!(first, later, "{turns:?}");
        assert_eq!(first.is_some(), turns[0] * 4 + 60 < CAP_BYTES, "{turns:?}");
    }
}
