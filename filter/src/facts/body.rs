//! What the beginning of a JSON request body tells about its prompt.
//!
//! One reading serves the APIs of OpenAI (completions, chat, responses, embeddings), Anthropic (messages), rerank and score, and the
//! servers' own `generate`: their fields do not collide. Only tensors are told by the path ([`Shape`]).
//!
//! The order of keys makes no difference to what is found, with one exception: the conversation key looks only at what stands before
//! the end of the first user message, because later turns of a conversation repeat that beginning, while fields behind the messages
//! move out of sight as it grows. For the same reason the client's own names for it (`session_id`, `user`) hold only without a beginning.
//!
//! **When it ends.** With the document (`whole`), not with the end of the stream, which may come later. Before that (`enough`) once model, stream
//! flag and conversation are known, from body or headers, and messages, system prompt and tools were read to their ends. Less would not
//! do: further messages add to the history, images are not as long as they look, tools and system prompt make the shared beginning. What
//! is behind these (sampling parameters, schemas of answers, metadata) changes no fact but `max_output_tokens`, by which nothing is
//! decided, nor does it count as prompt, so that `Content-Length` is not needed. Else at `decide_after_bytes` (`cap`).

use super::hash::Digest;
use super::head::Head;
use super::json::Tokenizer;
use super::path::Shape;
use super::prompt::Beginning;
use super::reader::Reader;

/// How the reading of a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Ending {
    /// With the document.
    Whole,
    /// What is still to come changes nothing.
    Enough,
    /// As much was read as may be held. What lies behind is absent.
    Cap,
    /// The body ended, or could not be read, before the document was complete.
    #[default]
    Unfinished,
    /// It is no JSON object, so nothing is known.
    NotJson,
}

impl Ending {
    /// Every ending, in the order of declaration.
    pub(crate) const ALL: [Self; 5] = [
        Self::Whole,
        Self::Enough,
        Self::Cap,
        Self::Unfinished,
        Self::NotJson,
    ];

    /// Label of metrics, and word of the explain header.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Enough => "enough",
            Self::Cap => "cap",
            Self::Unfinished => "unfinished",
            Self::NotJson => "not_json",
        }
    }
}

/// What was seen. Everything is absent unless it was seen completely.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct BodyFacts {
    /// How far the reading came.
    pub(crate) ending: Ending,
    /// `model`, as written.
    pub(crate) model: Option<Vec<u8>>,
    /// `stream`.
    pub(crate) stream: Option<bool>,
    /// `max_tokens` and its other spellings. Nothing is decided by it: how long an answer gets is not known from how long it may get.
    pub(crate) max_output_tokens: Option<u32>,
    /// Tokens of the prompt: what was seen, and what `Content-Length` says is still to come. Absent: no JSON.
    pub(crate) prompt_tokens: Option<u64>,
    /// What it shares with others, or may.
    pub(crate) beginning: Option<Beginning>,
    /// Digest of the conversation.
    pub(crate) conversation: Option<Digest>,
    /// Tokens up to the last answer of the assistant that was seen; 0 on the first turn.
    pub(crate) history_tokens: u64,
}

/// Reads a body piece by piece, in about 1 KiB of memory.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    tokenizer: Tokenizer,
    reader: Reader,
    seen_bytes: u64,
    is_json: bool,
}

impl Body {
    /// Before the first byte.
    pub(crate) fn new(shape: Shape) -> Self {
        Self {
            tokenizer: Tokenizer::new(),
            reader: Reader::new(shape),
            seen_bytes: 0,
            is_json: true,
        }
    }

    /// Takes the next piece.
    pub(crate) fn feed(&mut self, chunk: &[u8]) {
        self.seen_bytes = self.seen_bytes.saturating_add(chunk.len() as u64);
        let is_json = self.tokenizer.feed(chunk, &mut self.reader).is_ok();
        self.is_json = is_json && !self.reader.is_no_object();
    }

    /// How the reading has ended; absent: more should be read.
    pub(crate) fn ending(&self, head: &Head) -> Option<Ending> {
        let has_model = head.model.is_some() || self.reader.model.is_some();
        let has_stream = head.route.streams.is_some() || self.reader.stream.is_some();
        if !self.is_json {
            Some(Ending::NotJson)
        } else if self.tokenizer.is_done() {
            Some(Ending::Whole)
        } else if has_model && has_stream && self.reader.prompt_is_settled() {
            Some(Ending::Enough)
        } else {
            None
        }
    }

    /// What was seen. `length`: bytes of the whole body; absent: not known.
    pub(crate) fn facts(&self, ending: Ending, length: Option<u64>) -> BodyFacts {
        if ending == Ending::NotJson {
            return BodyFacts {
                ending,
                ..BodyFacts::default()
            };
        }
        let reader = &self.reader;
        let no_more = self.tokenizer.is_done() || reader.in_media() || reader.prompt_is_settled();
        let unseen_bytes = match length {
            Some(length) if !no_more => length.saturating_sub(self.seen_bytes),
            _ => 0,
        };
        BodyFacts {
            ending,
            model: reader.model.clone(),
            stream: reader.stream,
            max_output_tokens: reader.max_output_tokens,
            prompt_tokens: Some(reader.prompt.tokens(unseen_bytes)),
            beginning: reader.prompt.beginning(),
            conversation: reader.conversation(),
            history_tokens: reader.prompt.history_tokens(),
        }
    }
}
