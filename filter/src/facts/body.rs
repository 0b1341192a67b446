//! What the beginning of a JSON request body shows about its prompt.
//!
//! One reading serves the APIs of OpenAI (completions, chat, responses, embeddings), Anthropic
//! (messages), rerank and score, and the servers' own `generate`: their fields do not collide. Only
//! tensors are recognised by the path ([`Shape`]).
//!
//! **Order of keys.** It makes no difference, with one exception. The conversation key uses only
//! what stands before the end of the first user message: later turns of a conversation repeat that
//! beginning, while fields after the messages move out of sight as the conversation grows. For the
//! same reason the client's own names for it (`session_id`, `user`) count only if there is no
//! beginning. The field `conversation` goes before the beginning: the server has what was said, and
//! the body has only what is new.
//!
//! **When the reading ends.** At the end of the document (`whole`), even if the stream ends later;
//! else at `decide_after_bytes` (`cap`). It does not end earlier, because clients write fields that
//! matter anywhere, also after the messages: what keeps caches apart, and the name of what the
//! request goes on from. If the path says that such a name may come, the reading goes on beyond
//! `decide_after_bytes` until there is one ([`Body::may_name`]). It goes on also where all that was
//! read is system prompt and tools ([`Body::is_shared_only`]).
//!
//! **The unread rest.** It counts as prompt if it begins within the text of the prompt. Its size is
//! known by `Content-Length`, else after it has passed ([`Rest`]). If it begins elsewhere, in a
//! picture or in a field that is not prompt, only what was read is known: "at least".
//!
//! **Broken JSON.** Servers accept some bodies that this reader does not, and refuse some that it
//! accepts. What was read before a fault holds.

use super::encoding::Encoding;
use super::hash::Digest;
use super::head::Head;
use super::json::Tokenizer;
use super::path::Shape;
use super::prompt::Beginning;
use super::reader::Reader;

/// How the reading of a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Ending {
    /// At the end of the document.
    Whole,
    /// As much was read as may be held. What comes later is absent.
    Cap,
    /// The body ended, or could not be read, before the document was complete.
    #[default]
    Unfinished,
    /// At a place where the body is not JSON. What stands before it holds.
    Broken,
    /// The body is not a JSON object, so nothing is known.
    NotJson,
}

impl Ending {
    /// Every ending, in the order of declaration.
    pub(crate) const ALL: [Self; 5] = [
        Self::Whole,
        Self::Cap,
        Self::Unfinished,
        Self::Broken,
        Self::NotJson,
    ];

    /// Label of metrics, and word of the explain header.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Cap => "cap",
            Self::Unfinished => "unfinished",
            Self::Broken => "broken",
            Self::NotJson => "not_json",
        }
    }
}

/// Length of a body in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// The whole length, by `Content-Length` or because the body has ended.
    Whole(u64),
    /// So many bytes have come. How many more will come is not known.
    AtLeast(u64),
}

/// A prompt whose text goes on after the part that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rest {
    /// Bytes of the body that were read.
    bytes: u64,
    tokens: u64,
    /// Estimate for the unread part: so many tokens in so many bytes.
    tokens_per_bytes: (u64, u64),
}

impl Rest {
    /// Returns the tokens of the whole prompt, for a body of `body_bytes` bytes.
    pub(crate) fn prompt_tokens(&self, body_bytes: u64) -> u64 {
        let unseen = body_bytes.saturating_sub(self.bytes);
        let (tokens, bytes) = self.tokens_per_bytes;
        // No real body is so long that the product overflows.
        let more = unseen.saturating_mul(tokens) / bytes.max(1);
        self.tokens.saturating_add(more)
    }
}

/// What was seen of a body. A fact is absent unless it was seen completely.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct BodyFacts {
    /// How far the reading came.
    pub(crate) ending: Ending,
    /// `model`, as written.
    pub(crate) model: Option<Vec<u8>>,
    /// `stream`.
    pub(crate) stream: Option<bool>,
    /// `max_tokens` and its other spellings. Nothing is decided by it: the limit of an answer's
    /// length does not show the length.
    pub(crate) max_output_tokens: Option<u32>,
    /// Tokens of the prompt: those seen, and those known to come. Absent: nothing of the prompt was
    /// seen.
    pub(crate) prompt_tokens: Option<u64>,
    /// The prompt may have more tokens than that.
    pub(crate) at_least: bool,
    /// How to count what passes later. Absent: that shows nothing about the prompt.
    pub(crate) rest: Option<Rest>,
    /// What the prompt shares with others, or may share.
    pub(crate) beginning: Option<Beginning>,
    /// Digest of the conversation.
    pub(crate) conversation: Option<Digest>,
    /// The conversation is known by a name, not by its beginning.
    pub(crate) is_named: bool,
    /// Digest of the name of something that a server keeps and that the request goes on from.
    pub(crate) held: Option<Digest>,
    /// Digest of what was read of the conversation's beginning. Present only with [`Ending::Cap`],
    /// if the first user message goes on beyond the read part. Every turn begins with that part.
    pub(crate) opening: Option<Digest>,
    /// Tokens up to the last answer of the assistant, as far as it was seen; 0 on the first turn.
    pub(crate) history_tokens: u64,
    /// Whether the prompt goes on behind the read part.
    pub(crate) is_cut: bool,
}

/// Reads a body piece by piece, in about 1 KiB of memory.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    encoding: Encoding,
    tokenizer: Tokenizer,
    reader: Reader,
    seen_bytes: u64,
    is_json: bool,
}

impl Body {
    /// The state before the first byte.
    pub(crate) fn new(shape: Shape) -> Self {
        Self {
            encoding: Encoding::new(),
            tokenizer: Tokenizer::new(),
            reader: Reader::new(shape),
            seen_bytes: 0,
            is_json: true,
        }
    }

    /// Takes the next piece.
    pub(crate) fn feed(&mut self, chunk: &[u8]) {
        self.seen_bytes = self.seen_bytes.saturating_add(chunk.len() as u64);
        let (tokenizer, reader) = (&mut self.tokenizer, &mut self.reader);
        self.encoding.feed(chunk, |utf8| {
            self.is_json &= tokenizer.feed(utf8, reader).is_ok();
        });
        self.is_json &= !self.reader.is_no_object();
    }

    /// Whether the document was read to its end.
    pub(super) fn is_over(&self) -> bool {
        self.is_json && self.tokenizer.is_done()
    }

    /// Whether the unread part of the body may name what a server keeps.
    pub(crate) fn may_name(&self, head: &Head) -> bool {
        head.route.goes_on && self.reader.held().is_none()
    }

    /// Whether all that was read of the prompt may be what many conversations begin with.
    pub(crate) fn is_shared_only(&self) -> bool {
        self.is_json && self.reader.is_shared_only()
    }

    /// Returns how the reading has ended. `None`: more should be read.
    pub(crate) fn ending(&self) -> Option<Ending> {
        if !self.is_json && !self.reader.has_begun() {
            Some(Ending::NotJson)
        } else if !self.is_json {
            Some(Ending::Broken)
        } else if self.tokenizer.is_done() {
            Some(Ending::Whole)
        } else {
            None
        }
    }

    /// Returns what was seen of a body of that length.
    pub(crate) fn facts(&self, ending: Ending, length: Length) -> BodyFacts {
        if ending == Ending::NotJson {
            return BodyFacts {
                ending,
                ..BodyFacts::default()
            };
        }
        let reader = &self.reader;
        let is_complete = self.tokenizer.is_done() || reader.prompt_is_settled();
        let seen = reader.seen_tokens().or_else(|| is_complete.then_some(0));
        let per_bytes = reader
            .tokens_per_bytes(self.tokenizer.escaped_bytes())
            .filter(|_| !is_complete);
        let rest = seen.zip(per_bytes).map(|(tokens, (more, bytes))| Rest {
            bytes: self.seen_bytes,
            tokens,
            tokens_per_bytes: (more, bytes.saturating_mul(self.encoding.bytes_per_byte())),
        });
        let (Length::Whole(bytes) | Length::AtLeast(bytes)) = length;
        let counted = rest.map(|rest| rest.prompt_tokens(bytes));
        let is_known = matches!(length, Length::Whole(_));
        let (salt, conversation) = (reader.salt, reader.conversation());
        BodyFacts {
            ending,
            model: reader.model.clone(),
            stream: reader.stream,
            max_output_tokens: reader.max_output_tokens,
            prompt_tokens: counted.or(seen),
            at_least: !(is_complete || is_known && rest.is_some()),
            rest: rest.filter(|_| !is_known),
            beginning: reader.prompt.beginning().map(|one| one.salted(salt)),
            conversation: conversation.map(|(digest, _)| digest.salted(salt)),
            is_named: conversation.is_some_and(|(_, is_named)| is_named),
            held: reader.held(),
            opening: (ending == Ending::Cap)
                .then(|| reader.opening())
                .flatten()
                .map(|digest| digest.salted(salt)),
            history_tokens: reader.history_tokens(),
            is_cut: matches!(ending, Ending::Cap | Ending::Unfinished) && rest.is_some(),
        }
    }
}
