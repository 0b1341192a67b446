//! What the keys of a request body mean.

/// A top-level field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Ignored,
    Model,
    /// Whether the answer is streamed.
    Stream,
    /// The client's own name for the conversation; a lower rank wins.
    Session(u8),
    System,
    Tools,
    /// Messages, or the prompt itself.
    Turns,
}

impl Field {
    pub(super) fn of(key: &[u8]) -> Self {
        match key {
            b"model" => Self::Model,
            b"stream" => Self::Stream,
            b"session_id" => Self::Session(0),
            b"conversation" => Self::Session(1),
            b"prompt_cache_key" => Self::Session(2),
            b"user" => Self::Session(3),
            b"system" | b"instructions" => Self::System,
            b"tools" | b"functions" => Self::Tools,
            b"messages" | b"input" | b"prompt" | b"text" | b"inputs" | b"text_input"
            | b"input_ids" => Self::Turns,
            _ => Self::Ignored,
        }
    }
}

/// A field within a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Text,
    /// An image or a sound: a link, base64 data, or an object that holds one of them.
    Media,
    /// A link or base64 data if it stands in such an object.
    Data,
}

impl Part {
    pub(super) fn of(key: &[u8]) -> Self {
        match key {
            b"image_url" | b"input_audio" | b"image" | b"source" | b"file" => Self::Media,
            b"url" | b"data" | b"file_data" => Self::Data,
            _ => Self::Text,
        }
    }
}
