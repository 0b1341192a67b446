//! Strings of a document: passes on their text with escapes resolved.

use super::{Malformed, Place, Sink, State, Tokenizer};

/// Room for text with escapes, on the stack.
const GATHERED_BYTES: usize = 256;
/// A backslash, `u` and four hexadecimal digits.
const UNICODE_BYTES: u64 = 6;
/// Stretches of text up to this length are not searched but read byte by byte.
const SHORT_BYTES: usize = 24;

impl Tokenizer {
    /// Takes the part of a string up to its next quote or backslash. Returns the rest of `chunk`.
    pub(super) fn text<'c>(&mut self, chunk: &'c [u8], sink: &mut dyn Sink) -> &'c [u8] {
        let end = memchr::memchr2(b'"', b'\\', chunk).unwrap_or(chunk.len());
        if end < SHORT_BYTES && chunk.get(end) == Some(&b'\\') && self.high.is_none() {
            let rest = self.gather(chunk, sink);
            if rest.len() < chunk.len() {
                return rest;
            }
        }
        let (part, rest) = chunk.split_at_checked(end).unwrap_or((chunk, &[]));
        let ends_pair = rest.first() != Some(&b'\\') || !part.is_empty();
        if ends_pair && self.high.take().is_some() {
            sink.text(self.place, REPLACEMENT.as_bytes());
        }
        if !part.is_empty() {
            sink.text(self.place, part);
        }
        let Some((&byte, rest)) = rest.split_first() else {
            return &[];
        };
        if byte == b'\\' {
            self.state = State::Escape;
            return rest;
        }
        sink.text_end(self.place);
        match self.place {
            Place::Key => self.state = State::Colon,
            Place::Value => self.after_value(),
        }
        rest
    }

    /// Takes short stretches with simple escapes between them, as one part. Code has an escape
    /// every ten bytes, and each part costs the sink more than a few bytes do. Returns the rest of
    /// `chunk`.
    fn gather<'c>(&mut self, chunk: &'c [u8], sink: &mut dyn Sink) -> &'c [u8] {
        let mut gathered = [0; GATHERED_BYTES];
        let (mut rest, mut len, mut since_escape) = (chunk, 0, 0);
        for slot in &mut gathered {
            let (byte, after) = match rest {
                [b'\\', escape, after @ ..] => {
                    since_escape = 0;
                    match unescaped(*escape) {
                        Some(byte) => (byte, after),
                        None => break,
                    }
                }
                [b'"' | b'\\', ..] | [] => break,
                // From here on a search is faster.
                _ if since_escape >= SHORT_BYTES => break,
                [byte, after @ ..] => (*byte, after),
            };
            *slot = byte;
            rest = after;
            len += 1;
            since_escape += 1;
        }
        if let Some(text) = gathered.get(..len).filter(|text| !text.is_empty()) {
            sink.text(self.place, text);
        }
        self.escaped += (chunk.len() - rest.len() - len) as u64;
        rest
    }

    pub(super) fn escape(&mut self, byte: u8, sink: &mut dyn Sink) -> Result<(), Malformed> {
        if byte == b'u' {
            self.state = State::Unicode { left: 4, code: 0 };
            return Ok(());
        }
        if self.high.take().is_some() {
            sink.text(self.place, REPLACEMENT.as_bytes());
        }
        let Some(plain) = unescaped(byte) else {
            self.state = State::Failed;
            return Err(Malformed);
        };
        sink.text(self.place, &[plain]);
        self.escaped += 1;
        self.state = State::Text;
        Ok(())
    }

    pub(super) fn unicode(
        &mut self,
        byte: u8,
        left: u8,
        code: u16,
        sink: &mut dyn Sink,
    ) -> Result<(), Malformed> {
        let Some(digit) = char::from(byte).to_digit(16) else {
            self.state = State::Failed;
            return Err(Malformed);
        };
        let code = code << 4 | u16::try_from(digit).unwrap_or(0);
        if left > 1 {
            self.state = State::Unicode {
                left: left - 1,
                code,
            };
            return Ok(());
        }
        self.state = State::Text;
        let pending = self.high.take();
        let (mut utf8, mut text_bytes) = ([0; 4], 0);
        let mut put = |unit: Result<char, _>| {
            let decoded = unit.unwrap_or(char::REPLACEMENT_CHARACTER);
            text_bytes += decoded.len_utf8() as u64;
            sink.text(self.place, decoded.encode_utf8(&mut utf8).as_bytes());
        };
        match pending {
            None if matches!(code, 0xD800..=0xDBFF) => self.high = Some(code),
            None => char::decode_utf16([code]).for_each(&mut put),
            Some(high) if matches!(code, 0xD800..=0xDBFF) => {
                char::decode_utf16([high]).for_each(&mut put);
                self.high = Some(code);
            }
            Some(high) => char::decode_utf16([high, code]).for_each(&mut put),
        }
        self.escaped = (self.escaped + UNICODE_BYTES).saturating_sub(text_bytes);
        Ok(())
    }
}

/// Returns the character that a backslash and `byte` stand for, except for `u`.
fn unescaped(byte: u8) -> Option<u8> {
    Some(match byte {
        b'"' | b'\\' | b'/' => byte,
        b'b' => b'\x08',
        b'f' => b'\x0c',
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return None,
    })
}

const REPLACEMENT: &str = "\u{FFFD}";
