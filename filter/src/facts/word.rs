//! A short text in a fixed place: a key, a role, a model's name.

/// Up to 256 bytes. A longer text is not cut but counts as absent, because half a name is another
/// name.
#[derive(Debug, Clone)]
pub(crate) struct Word {
    bytes: [u8; Self::MAX_BYTES],
    len: usize,
    too_long: bool,
}

impl Default for Word {
    fn default() -> Self {
        Self::new()
    }
}

impl Word {
    /// Length of the longest text that is kept. Model names may be 253 bytes long in the load
    /// table.
    pub(crate) const MAX_BYTES: usize = 256;

    pub(crate) fn new() -> Self {
        Self {
            bytes: [0; Self::MAX_BYTES],
            len: 0,
            too_long: false,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
        self.too_long = false;
    }

    pub(crate) fn push(&mut self, part: &[u8]) {
        let end = self.len.saturating_add(part.len());
        match self.bytes.get_mut(self.len..end) {
            Some(place) => {
                place.copy_from_slice(part);
                self.len = end;
            }
            None => self.too_long = true,
        }
    }

    /// Returns the text. `None`: it was too long.
    pub(crate) fn get(&self) -> Option<&[u8]> {
        if self.too_long {
            None
        } else {
            self.bytes.get(..self.len)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Word;

    #[test]
    fn a_text_is_kept_whole_or_not_at_all() {
        let mut word = Word::new();
        word.push(b"half");
        word.push(&[b'x'; 252]);
        assert_eq!(word.get().map(<[u8]>::len), Some(256));
        word.push(b"y");
        assert_eq!(word.get(), None);
        word.clear();
        word.push(b"role");
        assert_eq!(word.get(), Some(&b"role"[..]));
    }
}
