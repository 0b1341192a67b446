//! One message of a chat while it is read.

use super::hash::{Digest, Hasher, Purpose};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Author {
    System,
    User,
    Assistant,
    /// A tool's result, or the message names no author.
    #[default]
    Other,
}

/// Author and running digest of the content. The role may stand before or after the content.
#[derive(Debug, Clone)]
pub(super) struct Message {
    content: Hasher,
    bytes: u64,
    author: Author,
    /// The next value names the author.
    author_next: bool,
    /// The next value is the name of the item.
    pub(super) name_next: bool,
    /// Digest of the item's name.
    pub(super) name: Option<Digest>,
    /// The item has more than a name and a type.
    has_more: bool,
}

impl Message {
    pub(super) fn new() -> Self {
        Self {
            content: Hasher::new(Purpose::Message),
            bytes: 0,
            author: Author::Other,
            author_next: false,
            name_next: false,
            name: None,
            has_more: false,
        }
    }

    /// Handles a key of the message object itself.
    pub(super) fn on_key(&mut self, key: &[u8]) {
        self.author_next = matches!(key, b"role" | b"type");
        self.name_next = key == b"id";
        self.has_more |= !self.name_next && key != b"type";
    }

    /// Returns the digest of the name of an item that the server keeps, if this is nothing but a
    /// reference to it (Responses API).
    pub(super) fn reference(&self) -> Option<Digest> {
        self.name.filter(|_| !self.has_more)
    }

    /// Whether the next value is a short one that is needed whole.
    pub(super) fn wants_word(&self) -> bool {
        self.author_next
    }

    /// Handles a complete string of the message object itself.
    pub(super) fn on_value(&mut self, word: &[u8]) {
        if !std::mem::take(&mut self.author_next) {
            return;
        }
        self.author = match word {
            b"system" | b"developer" => Author::System,
            b"user" => Author::User,
            // `model` is Gemini's word. Items of the Responses API that the model wrote have a type
            // and no role.
            b"assistant" | b"model" | b"function_call" | b"reasoning" => Author::Assistant,
            _ => return,
        };
    }

    pub(super) fn text(&mut self, part: &[u8]) {
        self.content.write(part);
        self.bytes = self.bytes.saturating_add(part.len() as u64);
    }

    pub(super) fn media(&mut self, media: Digest) {
        self.content.add(media);
    }

    pub(super) fn digest(&self) -> Digest {
        self.content.digest()
    }

    /// Bytes of text.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn is_system(&self) -> bool {
        self.author == Author::System
    }

    pub(super) fn is_user(&self) -> bool {
        self.author == Author::User
    }

    pub(super) fn is_assistant(&self) -> bool {
        self.author == Author::Assistant
    }
}
