//! What a prompt has in addition to text.

use super::hash::{Digest, Hasher, Purpose};

/// What a medium is. Models differ tenfold in the tokens that they make of one, and its data says
/// little about it. So each kind has one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Kind {
    /// Models make 250 to 4,000 tokens of one. Also any medium whose kind is not named.
    #[default]
    Image,
    /// Half a minute. Models make 10 to 30 tokens of a second.
    Sound,
    /// Three pages. The model reads text and image of each.
    File,
    /// Some 30 frames of 200 tokens each.
    Video,
}

impl Kind {
    /// Returns the kind that a key, a type or a media type names. `None`: it names none.
    pub(super) fn named(word: &[u8]) -> Option<Self> {
        let has = |part: &[u8]| word.windows(part.len()).any(|window| window == part);
        if has(b"image") {
            Some(Self::Image)
        } else if has(b"audio") {
            Some(Self::Sound)
        } else if has(b"video") {
            Some(Self::Video)
        } else if has(b"file") || has(b"document") || has(b"pdf") {
            Some(Self::File)
        } else {
            None
        }
    }

    /// Tokens of one medium.
    pub(super) fn tokens(self) -> u64 {
        match self {
            Self::Image => 1_000,
            Self::Sound => 500,
            Self::File => 5_000,
            Self::Video => 6_000,
        }
    }
}

/// A link or base64 data that is being read.
#[derive(Debug, Clone)]
pub(super) struct Data {
    hash: Hasher,
    pub(super) bytes: u64,
}

impl Data {
    pub(super) fn new() -> Self {
        Self {
            hash: Hasher::new(Purpose::Media),
            bytes: 0,
        }
    }

    pub(super) fn write(&mut self, part: &[u8]) {
        self.hash.write(part);
        self.bytes = self.bytes.saturating_add(part.len() as u64);
    }

    pub(super) fn digest(&self) -> Digest {
        self.hash.digest()
    }
}

/// A medium that was counted. The fields around it may still show that it is of another kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    pub(super) kind: Kind,
    pub(super) bytes: u64,
    /// Depth of the object that shows what the medium is.
    pub(super) depth: u32,
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn keys_types_and_media_types_name_the_kind() {
        for (word, kind) in [
            ("image_url", Some(Kind::Image)),
            ("input_image", Some(Kind::Image)),
            ("image/png", Some(Kind::Image)),
            ("input_audio", Some(Kind::Sound)),
            ("audio/wav", Some(Kind::Sound)),
            ("video_url", Some(Kind::Video)),
            ("document", Some(Kind::File)),
            ("application/pdf", Some(Kind::File)),
            ("input_file", Some(Kind::File)),
            ("base64", None),
            ("text", None),
            ("source", None),
            ("", None),
        ] {
            assert_eq!(Kind::named(word.as_bytes()), kind, "{word}");
        }
    }
}
