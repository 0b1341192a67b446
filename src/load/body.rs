//! A turn as the JSON body of a chat completion.

use std::collections::HashMap;
use std::fmt::Write;

use bytes::Bytes;
use trimtab_workload::{Part, Role, Turn};

/// Writes request bodies of one conversation, with what the server really answered in the place of the planned answers:
/// only then does the next turn find the earlier one in the server's prefix cache.
#[derive(Debug, Default)]
pub struct ChatBody {
    /// By the identity of the planned answer; text as it stood between the quotes of the JSON it came in.
    answers: HashMap<u64, String>,
}

impl ChatBody {
    /// Remembers what the server said in the place of the segment `id`.
    /// `escaped` is the inside of a JSON string, escapes and all, so that it can be sent back as it came.
    pub fn on_answer(&mut self, id: u64, escaped: String) {
        self.answers.insert(id, escaped);
    }

    /// The body of `turn`: streamed, with usage, with exactly the planned number of output tokens (`ignore_eos`).
    /// An adapter is asked for by its name as `model`, as vLLM and SGLang have it. Names are written as they are: they
    /// must not need an escape.
    #[must_use]
    pub fn write(&self, turn: &Turn, model: &str, adapters: &[String]) -> Bytes {
        let model = turn
            .adapter
            .and_then(|index| adapters.get(index as usize))
            .map_or(model, String::as_str);
        let mut out = String::with_capacity(
            turn.prompt.tokens() as usize * trimtab_workload::WORD_BYTES + 512,
        );
        // Writing to a String cannot fail.
        let _ = write!(out, r#"{{"model":"{model}","messages":["#);
        for (position, message) in turn.prompt.messages().enumerate() {
            out.push_str(if position == 0 { "" } else { "," });
            self.write_message(message, &mut out);
        }
        let tokens = turn.answer.tokens;
        let _ = write!(
            out,
            r#"],"max_tokens":{tokens},"ignore_eos":true,"stream":true,"stream_options":{{"include_usage":true}}}}"#
        );
        Bytes::from(out)
    }

    fn write_message(&self, parts: &[Part], out: &mut String) {
        let Some(role) = parts.first().map(|part| part.role) else {
            return;
        };
        let _ = write!(out, r#"{{"role":"{}","content":""#, role.as_str());
        for part in parts {
            match self.answers.get(&part.segment.id) {
                Some(said) => out.push_str(said),
                None => part.segment.write_words(out),
            }
        }
        out.push('"');
        if role == Role::Tool {
            out.push_str(r#","tool_call_id":"call_1""#);
        }
        out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use trimtab_workload::{Prompt, Segment};

    #[test]
    fn a_body_is_json_that_repeats_what_the_server_said() {
        let part = |role, id, tokens| Part {
            role,
            segment: Segment { id, tokens },
        };
        let parts = vec![
            part(Role::System, 1, 3),
            part(Role::User, 2, 2),
            part(Role::Assistant, 3, 9),
            part(Role::Tool, 4, 1),
        ];
        let turn = Turn {
            think_s: 0.0,
            prompt: Prompt { parts },
            answer: Segment { id: 5, tokens: 7 },
            adapter: Some(1),
        };
        let mut body = ChatBody::default();
        body.on_answer(3, r#"said \"so\"\n"#.to_owned());
        let json: Value =
            serde_json::from_slice(&body.write(&turn, "base", &["a".into(), "b".into()])).unwrap();
        assert_eq!(
            (&json["model"], &json["max_tokens"], &json["stream"]),
            (&"b".into(), &7.into(), &true.into())
        );
        let messages = json["messages"].as_array().unwrap();
        let roles: Vec<&str> = messages
            .iter()
            .map(|m| m["role"].as_str().unwrap())
            .collect();
        assert_eq!(roles, ["system", "user", "assistant", "tool"]);
        assert_eq!(messages[2]["content"], "said \"so\"\n");
        assert_eq!(
            messages[0]["content"]
                .as_str()
                .unwrap()
                .split_whitespace()
                .count(),
            3
        );
    }
}
