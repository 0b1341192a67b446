//! Requests as real clients write them, by their public documentation, with the facts that a human
//! reader would note.
//!
//! The orders of keys were captured from real clients:
//!
//! - openai-python 1 and 2: `messages` first;
//! - openai-python 3 and openai-node: `model, stream, messages`;
//! - anthropic-python: `max_tokens, messages, model, system`; its Node SDK:
//!   `model, max_tokens, messages, system`.

mod anthropic;
mod openai;
mod responses;
mod servers;

use proptest::prelude::*;
use serde_json::Value;

use super::{head, read};
use crate::facts::{BodyFacts, Ending};

/// One request, and what is expected of it.
pub(super) struct Case {
    name: &'static str,
    path: &'static str,
    pub(super) body: &'static str,
    model: Option<&'static str>,
    stream: Option<bool>,
    max_output_tokens: Option<u32>,
    /// The text that the model reads, except for system prompt and tools, in the order of the
    /// document.
    says: &'static [&'static str],
    /// How many of `says` stand up to the end of the assistant's last answer.
    history: usize,
    system: &'static str,
    /// The least and the most bytes of the tools.
    tools: (usize, usize),
    /// Tokens of token ids, images and other media.
    tokens: usize,
    conversation: bool,
}

impl Case {
    const CHAT: Self = Self {
        name: "",
        path: "/v1/chat/completions",
        body: "",
        model: None,
        stream: None,
        max_output_tokens: None,
        says: &[],
        history: 0,
        system: "",
        tools: (0, 0),
        tokens: 0,
        conversation: true,
    };

    const PROMPT: Self = Self {
        conversation: false,
        ..Self::CHAT
    };

    fn read(&self, pieces: &[usize]) -> BodyFacts {
        let body = self.body.as_bytes();
        read(&head(self.path), body, body.len(), pieces)
    }

    fn check(&self) {
        let facts = self.read(&[usize::MAX]);
        let name = self.name;
        assert_eq!(facts.ending, Ending::Whole, "{name}");
        assert_eq!(
            facts.model.as_deref(),
            self.model.map(str::as_bytes),
            "{name}"
        );
        assert_eq!(facts.stream, self.stream, "{name}");
        assert_eq!(facts.max_output_tokens, self.max_output_tokens, "{name}");
        assert_eq!(facts.conversation.is_some(), self.conversation, "{name}");
        let bytes = |says: &[&str]| says.iter().map(|text| text.len()).sum::<usize>();
        let (least, most) = self.tools;
        let texts = |says: &[&str]| {
            let tokens = |tools: usize| ((bytes(says) + self.system.len() + tools) / 4) as u64;
            (tokens(least), tokens(most))
        };
        let tokens = self.tokens as u64;
        let found = facts.prompt_tokens.unwrap() - tokens;
        let (from, to) = texts(self.says);
        assert!((from..=to).contains(&found), "{name}: {facts:?}");
        // No image or token id stands before an answer here.
        let history = &self.says[..self.history];
        let (from, to) = if history.is_empty() {
            (0, 0)
        } else {
            texts(history)
        };
        assert!(
            (from..=to).contains(&facts.history_tokens),
            "{name}: {facts:?}"
        );
    }
}

/// All cases.
pub(super) fn all() -> impl Iterator<Item = &'static Case> {
    [
        openai::CASES,
        responses::CASES,
        anthropic::CASES,
        servers::CASES,
    ]
    .into_iter()
    .flatten()
}

/// Collects all strings of a document.
fn collect<'d>(value: &'d Value, texts: &mut Vec<&'d str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(values) => values.iter().for_each(|value| collect(value, texts)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, texts)),
        _ => {}
    }
}

#[test]
fn real_requests_tell_what_they_say() {
    assert!(all().count() >= 20);
    for case in all() {
        // Each body is JSON, and holds the listed texts.
        let document: Value = serde_json::from_str(case.body).expect(case.name);
        let mut texts = Vec::new();
        collect(&document, &mut texts);
        for text in case.says.iter().chain([&case.system]) {
            let stands = text.is_empty() || texts.contains(text);
            assert!(stands, "{}: {text}", case.name);
        }
        case.check();
    }
}

#[test]
fn real_requests_tell_the_same_byte_by_byte() {
    for case in all() {
        assert_eq!(case.read(&[1]), case.read(&[usize::MAX]), "{}", case.name);
    }
}

#[test]
fn one_question_is_one_conversation_in_every_spelling_of_its_content() {
    let of =
        |body: &str| read(&head("/v1/messages"), body.as_bytes(), body.len(), &[9]).conversation;
    let plain = of(r#"{"messages":[{"role":"user","content":"hi there"}]}"#);
    assert!(plain.is_some());
    for body in [
        r#"{"messages":[{"content":"hi there","role":"user"}]}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"hi there"}]}]}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"hi there","cache_control":{"type":"ephemeral","ttl":"1h"}}]}]}"#,
        r#"{"messages":[{"role":"user","content":[{"cache_control":{"type":"ephemeral"},"text":"hi there","type":"text"}]},{"role":"assistant","content":"yes"}]}"#,
        r#"{"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"hi there"}]}]}"#,
        r#"{"input":[{"role":"user","content":"hi \u0074here"}]}"#,
    ] {
        assert_eq!(of(body), plain, "{body}");
    }
    assert_ne!(
        of(r#"{"messages":[{"role":"user","content":"hi there!"}]}"#),
        plain
    );
}

proptest! {
    #[test]
    fn real_requests_tell_the_same_however_they_are_cut(pieces in prop::collection::vec(1..200_usize, 1..12)) {
        for case in all() {
            prop_assert_eq!(case.read(&pieces), case.read(&[usize::MAX]), "{}", case.name);
        }
    }
}
