//! The encoding of a body. JSON is UTF-8, but servers in Python also accept UTF-16 and UTF-32, with
//! or without a byte order mark.

/// Room for text that was converted to UTF-8, on the stack.
const TURNED_BYTES: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The first bytes do not show the form yet.
    Unknown,
    Utf8,
    /// Units of two or four bytes.
    Wide {
        bytes: u8,
        big_endian: bool,
    },
}

/// Converts the pieces of a body to UTF-8.
#[derive(Debug, Clone)]
pub(super) struct Encoding {
    form: Form,
    /// The unit being read. While the form is not known: the first bytes of the body.
    unit: [u8; 4],
    len: usize,
    /// First half of a surrogate pair.
    high: Option<u16>,
}

impl Encoding {
    pub(super) fn new() -> Self {
        Self {
            form: Form::Unknown,
            unit: [0; 4],
            len: 0,
            high: None,
        }
    }

    /// Bytes of the body for one byte of UTF-8.
    pub(super) fn bytes_per_byte(&self) -> u64 {
        match self.form {
            Form::Wide { bytes, .. } => bytes.into(),
            _ => 1,
        }
    }

    /// Takes the next piece, and passes it to `sink` in UTF-8. UTF-8 is passed on unchanged, a byte
    /// order mark included.
    pub(super) fn feed(&mut self, chunk: &[u8], mut sink: impl FnMut(&[u8])) {
        let mut rest = chunk;
        while self.form == Form::Unknown {
            let Some((byte, after)) = rest.split_first() else {
                return;
            };
            self.push(*byte);
            rest = after;
            self.form = form(self.unit, self.len);
            if self.form != Form::Unknown {
                let (first, len) = (self.unit, std::mem::take(&mut self.len));
                self.turn(first.get(..len).unwrap_or_default(), &mut sink);
            }
        }
        self.turn(rest, &mut sink);
    }

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.unit.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
    }

    fn turn(&mut self, chunk: &[u8], sink: &mut impl FnMut(&[u8])) {
        let Form::Wide { bytes, big_endian } = self.form else {
            return sink(chunk);
        };
        let mut turned = [0; TURNED_BYTES];
        let mut len = 0;
        for byte in chunk {
            self.push(*byte);
            if self.len < bytes.into() {
                continue;
            }
            self.len = 0;
            for character in self.characters(bytes, big_endian).into_iter().flatten() {
                let mut utf8 = [0; 4];
                let utf8 = character.encode_utf8(&mut utf8).as_bytes();
                if let Some(place) = turned.get_mut(len..len + utf8.len()) {
                    place.copy_from_slice(utf8);
                    len += utf8.len();
                }
            }
            // The next unit may give two characters of three bytes.
            if len + 8 > TURNED_BYTES {
                sink(turned.get(..len).unwrap_or_default());
                len = 0;
            }
        }
        sink(turned.get(..len).unwrap_or_default());
    }

    /// Returns the characters that are complete with the unit at hand.
    fn characters(&mut self, bytes: u8, big_endian: bool) -> [Option<char>; 2] {
        let [a, b, c, d] = self.unit;
        if bytes == 4 {
            let code = match big_endian {
                true => u32::from_be_bytes([a, b, c, d]),
                false => u32::from_le_bytes([a, b, c, d]),
            };
            return [Some(sound(char::from_u32(code))), None];
        }
        let unit = match big_endian {
            true => u16::from_be_bytes([a, b]),
            false => u16::from_le_bytes([a, b]),
        };
        let high = self.high.take();
        if matches!(unit, 0xD800..=0xDBFF) {
            self.high = Some(unit);
            return [high.map(|_| char::REPLACEMENT_CHARACTER), None];
        }
        let alone = |unit: u16| Some(sound(char::from_u32(unit.into())));
        let Some(high) = high else {
            return [alone(unit), None];
        };
        match char::decode_utf16([high, unit]).next() {
            Some(Ok(character)) => [Some(character), None],
            _ => [Some(char::REPLACEMENT_CHARACTER), alone(unit)],
        }
    }
}

fn sound(character: Option<char>) -> char {
    character.unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Returns the form that the first `len` bytes of a body show. The zeros of its first ASCII
/// character decide, as in Python's `json`.
fn form(first: [u8; 4], len: usize) -> Form {
    let wide = |bytes, big_endian| Form::Wide { bytes, big_endian };
    match (first, len) {
        (_, 0 | 1) => Form::Unknown,
        ([0xFE, 0xFF, ..], _) => wide(2, true),
        ([0, 0, ..], _) => wide(4, true),
        ([0, ..], _) => wide(2, true),
        ([0xFF, 0xFE, ..] | [_, 0, ..], 2) | ([0xFF, 0xFE, 0, _] | [_, 0, 0, _], 3) => {
            Form::Unknown
        }
        ([0xFF, 0xFE, 0, 0] | [_, 0, 0, 0], _) => wide(4, false),
        ([0xFF, 0xFE, ..] | [_, 0, ..], _) => wide(2, false),
        _ => Form::Utf8,
    }
}

#[cfg(test)]
mod tests {
    use super::Encoding;

    const TEXT: &str = "{\"Übergröße\": \"日本語 🚀\"}";

    fn turned(body: &[u8], piece: usize) -> String {
        let (mut encoding, mut text) = (Encoding::new(), Vec::new());
        for piece in body.chunks(piece) {
            encoding.feed(piece, |utf8| text.extend(utf8));
        }
        String::from_utf8(text).unwrap()
    }

    fn wide<const N: usize>(units: impl Iterator<Item = [u8; N]>) -> Vec<u8> {
        units.flatten().collect()
    }

    #[test]
    fn all_encodings_read_alike_with_and_without_a_mark_however_they_are_cut() {
        let marked = format!("\u{feff}{TEXT}");
        let long = TEXT.repeat(40);
        for text in [TEXT, &marked, &long] {
            for body in [
                text.as_bytes().to_vec(),
                wide(text.encode_utf16().map(u16::to_le_bytes)),
                wide(text.encode_utf16().map(u16::to_be_bytes)),
                wide(text.chars().map(|c| u32::from(c).to_le_bytes())),
                wide(text.chars().map(|c| u32::from(c).to_be_bytes())),
            ] {
                for piece in [1, 2, 3, 5, 64, 10_000] {
                    assert_eq!(turned(&body, piece), text, "{piece}: {body:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_character_is_the_replacement_character() {
        let units = [0x5B, 0xD800, 0x61, 0xDC00, 0xD800, 0xD83D, 0xDE80, 0x5D_u16];
        let body = wide(units.into_iter().map(u16::to_le_bytes));
        assert_eq!(turned(&body, 3), "[\u{fffd}a\u{fffd}\u{fffd}🚀]");
        let body = wide(
            [0x5B, 0x11_0000, 0x5D_u32]
                .into_iter()
                .map(u32::to_be_bytes),
        );
        assert_eq!(turned(&body, 3), "[\u{fffd}]");
    }

    #[test]
    fn two_bytes_tell_what_is_utf_8() {
        for body in ["{}", "[1", "\u{fe}", "\u{feff}"] {
            let (mut encoding, mut len) = (Encoding::new(), 0);
            for byte in body.as_bytes() {
                encoding.feed(&[*byte], |utf8| len += utf8.len());
            }
            assert_eq!(len, body.len(), "{body:?}");
        }
    }
}
