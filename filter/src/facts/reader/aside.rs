//! What stands in a message beside its text: media, labels, and what a tool gets.

use super::{Data, Kind, Part, Reader, TOOL_DEPTH};
use crate::facts::media::Counted;

impl Reader {
    /// Handles the beginning of an object or a list. It may hold a medium, a label, or what a tool
    /// gets.
    pub(super) fn open_aside(&mut self, is_object: bool) {
        let aside = match self.part {
            Part::Media | Part::File => Some(Part::Media),
            Part::Holder if is_object => Some(Part::Media),
            Part::Label if is_object => Some(Part::Label),
            Part::Plain if is_object && self.depth > TOOL_DEPTH => Some(Part::Plain),
            _ => None,
        };
        if let Some(aside) = aside.filter(|_| self.aside.1 == 0) {
            self.aside = (aside, self.depth);
            self.aside_is_list = !is_object;
        }
    }

    /// Handles the end of an object or a list. `depth` is that of the one around.
    pub(super) fn close_aside(&mut self) {
        if self.aside.1 == 0 {
            self.kind = None;
        }
        if self.depth < self.aside.1 {
            self.aside = (Part::Text, 0);
        }
        self.counted = self.counted.filter(|counted| self.depth >= counted.depth);
    }

    /// Returns what the string being read is.
    pub(super) fn value_part(&self) -> Part {
        let is_listed = self.aside_is_list && self.aside == (Part::Media, self.depth);
        match (self.part, self.aside.0) {
            (_, Part::Plain) => Part::Text,
            (Part::Label, _) | (_, Part::Label) => Part::Label,
            (Part::Media | Part::File, _) | (Part::Data, Part::Media) => Part::Media,
            // Without an object around (MCP): a type before it has named the kind.
            (Part::Data, _) if self.aside.1 == 0 && self.kind.is_some() => Part::Media,
            _ if is_listed => Part::Media,
            _ => Part::Text,
        }
    }

    /// Takes a part of a string in a message or a prompt.
    pub(super) fn turn(&mut self, text: &[u8]) {
        match self.value_part() {
            Part::Media => self.write_media(text),
            Part::Label => {}
            _ => {
                // Later messages count only by their length.
                let opening = self.prompt.conversation().is_none();
                if let Some(message) = self.message.as_mut().filter(|_| opening) {
                    message.text(text);
                }
                self.prompt.turn(text);
            }
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind.unwrap_or_default()
    }

    pub(super) fn end_media(&mut self, data: &Data) {
        let (digest, kind) = (data.digest(), self.kind());
        self.prompt.media(digest, kind);
        if let Some(message) = &mut self.message {
            message.media(digest);
        }
        self.counted = Some(Counted {
            kind,
            bytes: data.bytes,
            depth: match self.aside.1 {
                0 => self.depth,
                depth => depth.saturating_sub(1),
            },
        });
    }

    /// Handles a complete type or media type within a part of a message. It may stand after the
    /// data that it describes.
    pub(super) fn on_label(&mut self) {
        let word = self.word.get().unwrap_or_default();
        let in_aside = self.aside == (Part::Media, self.depth);
        if in_aside && word == b"text" {
            // A document in plain text (Messages API) comes in the same kind of object as an image.
            self.aside.0 = Part::Text;
            if let Some(counted) = self.counted.take() {
                self.prompt.recount(counted, None);
            }
        } else if !in_aside || word.contains(&b'/') {
            // Within a medium's object the type says where the data comes from. That may be a
            // `file` for an image.
            let named = Kind::named(word);
            self.kind = named.or(self.kind);
            if let Some((counted, kind)) = self.counted.as_mut().zip(named) {
                self.prompt.recount(*counted, Some(kind));
                counted.kind = kind;
            }
        }
    }

    pub(super) fn write_media(&mut self, text: &[u8]) {
        self.media.get_or_insert_with(Data::new).write(text);
    }
}
