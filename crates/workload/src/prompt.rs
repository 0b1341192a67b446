//! The structure of a prompt.

use serde::Deserialize;

use crate::rng::mix;

/// Bytes of one token as text: three letters and a space. So the usual estimate of four bytes per
/// token is exact.
pub const WORD_BYTES: usize = 4;

/// Who speaks in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The operator's instructions.
    System,
    /// The person or program that asks.
    User,
    /// The model.
    Assistant,
    /// Output of a tool that the model called.
    Tool,
}

impl Role {
    /// Returns the name in OpenAI's API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// A run of tokens with an identity. Equal identities mean equal text, and a shorter segment is the
/// beginning of a longer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Segment {
    /// Identity of the text.
    pub id: u64,
    /// Length of the text.
    pub tokens: u32,
}

impl Segment {
    /// Appends the segment's text: `tokens` words of three lower-case letters, each with a space
    /// after it. The letters need no escape in JSON. The model server counts one word as one token.
    pub fn write_words(&self, out: &mut String) {
        out.reserve(self.tokens as usize * WORD_BYTES);
        let letter = |n: u64| char::from(b'a' + (n % 26) as u8);
        for index in 0..u64::from(self.tokens) {
            let n = mix(self.id, index);
            out.extend([letter(n), letter(n / 26), letter(n / 676), ' ']);
        }
    }
}

/// A segment and its speaker. Adjacent parts with the same role are one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Part {
    /// The speaker.
    pub role: Role,
    /// The text.
    pub segment: Segment,
}

/// A whole prompt: everything the model reads before it answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prompt {
    /// The parts in order. Never empty in a [`crate::Turn`].
    pub parts: Vec<Part>,
}

impl Prompt {
    /// Returns the tokens of all parts.
    #[must_use]
    pub fn tokens(&self) -> u32 {
        self.parts
            .iter()
            .fold(0, |sum, part| part.segment.tokens.saturating_add(sum))
    }

    /// Returns the messages of a chat request. A message is a run of parts with the same role.
    pub fn messages(&self) -> impl Iterator<Item = &[Part]> {
        self.parts.chunk_by(|a, b| a.role == b.role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(id: u64, tokens: u32) -> String {
        let mut text = String::new();
        Segment { id, tokens }.write_words(&mut text);
        text
    }

    #[test]
    fn a_segment_has_one_word_per_token() {
        let text = words(5, 100);
        assert_eq!(text.split_whitespace().count(), 100);
        assert_eq!(text.len(), 100 * WORD_BYTES);
        assert!(text.bytes().all(|b| b == b' ' || b.is_ascii_lowercase()));
    }

    #[test]
    fn equal_identities_share_their_beginning_and_others_do_not() {
        assert!(words(5, 100).starts_with(&words(5, 60)));
        assert_ne!(words(5, 20), words(6, 20));
    }

    #[test]
    fn adjacent_parts_of_one_role_are_one_message() {
        let part = |role, id| Part {
            role,
            segment: Segment { id, tokens: 2 },
        };
        let prompt = Prompt {
            parts: vec![
                part(Role::System, 1),
                part(Role::User, 2),
                part(Role::User, 3),
            ],
        };
        assert_eq!(
            prompt.messages().map(<[_]>::len).collect::<Vec<_>>(),
            [1, 2]
        );
        assert_eq!(prompt.tokens(), 6);
    }
}
