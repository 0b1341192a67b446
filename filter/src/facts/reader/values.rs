//! Values that are numbers or words: settings, and what tensors hold.

use super::Reader;
use crate::facts::keys::Field;

impl Reader {
    /// Handles a number or a word of a setting, at the top level or among the options.
    pub(super) fn setting(&mut self, field: Field, literal: &[u8]) {
        match field {
            Field::Stream => self.stream = flag(literal),
            Field::MaxOutput => {
                if let Some(tokens) = number(literal) {
                    self.bound_output(tokens);
                }
            }
            _ => {}
        }
    }

    /// Of two limits the lower one counts.
    pub(super) fn bound_output(&mut self, tokens: u32) {
        let known = self.max_output_tokens.unwrap_or(u32::MAX);
        self.max_output_tokens = Some(known.min(tokens));
    }

    pub(super) fn tensor_value(&mut self, literal: &[u8]) {
        let Some(tensor) = self.tensor.as_mut().filter(|tensor| tensor.in_data()) else {
            return;
        };
        if tensor.is_media() {
            tensor.on_raw();
        } else if let Some(number) = number(literal) {
            for id in tensor.on_number(number) {
                self.prompt.token_id(literal.len(), || Some(id));
            }
        } else if let Some(flag) = flag(literal) {
            tensor.on_flag(flag);
        }
    }
}

pub(super) fn flag(literal: &[u8]) -> Option<bool> {
    match literal {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

pub(super) fn number(literal: &[u8]) -> Option<u32> {
    std::str::from_utf8(literal).ok()?.parse().ok()
}
