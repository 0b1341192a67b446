//! Writes a turn as the JSON body of a chat completion.

use std::collections::HashMap;
use std::fmt::Write;

use bytes::Bytes;
use trimtab_workload::{Part, Role, Turn};

/// Writes the request bodies of one conversation. A later turn repeats the server's real answers in
/// place of the planned ones. Only then can the server's prefix cache hold the earlier turns.
#[derive(Debug, Default)]
pub struct ChatBody {
    /// The server's answers by the id of the planned answer, as they stood between the quotes of
    /// JSON.
    answers: HashMap<u64, String>,
}

impl ChatBody {
    /// Stores the server's answer in place of the planned segment `id`.
    ///
    /// - `id`: identity of the planned answer's segment.
    /// - `escaped`: inside of a JSON string with its escapes, so that it can be sent back
    ///   unchanged.
    pub fn on_answer(&mut self, id: u64, escaped: String) {
        self.answers.insert(id, escaped);
    }

    /// Returns the body of `turn`: streamed, with usage, and with exactly the planned number of
    /// output tokens (`ignore_eos`). Names are written without escaping, so they must not need it.
    ///
    /// - `turn`: the turn.
    /// - `model`: name of the base model.
    /// - `adapters`: names by adapter index. A turn with an adapter names it as `model`, as vLLM
    ///   and SGLang expect.
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
