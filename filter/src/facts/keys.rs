//! What the keys of a request body mean.

use super::path::Shape;

/// Names and what they mean.
pub(crate) type Names<T> = (&'static [&'static [u8]], T);

/// Returns what a name means. `None`: nothing. Rejected: a `match`, because the compiler makes a
/// much larger tree of comparisons of it.
pub(crate) fn meaning<T: Copy>(names: &[Names<T>], name: &[u8]) -> Option<T> {
    let found = names.iter().find(|(names, _)| names.contains(&name));
    found.map(|(_, meaning)| *meaning)
}

/// The fields at the top level.
const FIELDS: [Names<Field>; 14] = [
    (&[b"model"], Field::Model),
    (&[b"stream"], Field::Stream),
    (
        &[b"parameters", b"sampling_params", b"generationConfig"],
        Field::Options,
    ),
    (&[b"session_id"], Field::Session(0)),
    (&[b"prompt_cache_key"], Field::Session(2)),
    (&[b"user"], Field::Session(3)),
    (&[b"cache_salt", b"extra_key"], Field::Salt),
    (&[b"previous_response_id"], Field::Held(0)),
    (
        &[b"conversation", b"session_params", b"container"],
        Field::Kept,
    ),
    (&[b"input_file_id", b"file_id"], Field::Held(2)),
    (
        &[
            b"system",
            b"instructions",
            b"systemInstruction",
            b"system_instruction",
            b"preamble",
        ],
        Field::System,
    ),
    (&[b"tools", b"functions"], Field::Tools),
    // Prompts of completions, chats and embeddings, of TGI, Triton and SGLang, of Gemini, Cohere
    // and Ollama, and the texts that rerank and score compare.
    (
        &[
            b"messages",
            b"input",
            b"prompt",
            b"suffix",
            b"text",
            b"inputs",
            b"text_input",
            b"input_ids",
            b"token_ids",
            b"contents",
            b"message",
            b"chat_history",
            b"texts",
            b"context",
            b"query",
            b"queries",
            b"documents",
            b"items",
            b"text_1",
            b"text_2",
        ],
        Field::Turns,
    ),
    (
        &[b"image_data", b"audio_data", b"video_data", b"images"],
        Field::Media,
    ),
];

/// The fields within a message or a system prompt.
const PARTS: [Names<Part>; 6] = [
    (&[b"file_id"], Part::File),
    (
        &[
            b"image_url",
            b"input_audio",
            b"audio_url",
            b"video_url",
            b"image",
            b"images",
            b"audio",
            b"video",
            b"file_data",
            b"file_url",
            b"file_uri",
            b"fileUri",
        ],
        Part::Media,
    ),
    (
        &[
            b"source",
            b"file",
            b"inline_data",
            b"inlineData",
            b"fileData",
        ],
        Part::Holder,
    ),
    (&[b"url", b"data", b"bytes"], Part::Data),
    (&[b"input", b"arguments", b"args", b"response"], Part::Plain),
    (
        &[
            b"type",
            b"cache_control",
            b"media_type",
            b"mime_type",
            b"mimeType",
            b"detail",
        ],
        Part::Label,
    ),
];

/// A top-level field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Ignored,
    Model,
    /// Whether the answer is streamed.
    Stream,
    /// How long the answer may get.
    MaxOutput,
    /// An object with sampling parameters. Some servers have [`Self::MaxOutput`] and
    /// [`Self::Stream`] there.
    Options,
    /// The client's own name for the conversation. A lower rank wins.
    Session(u8),
    /// What keeps caches apart although prompts are the same.
    Salt,
    /// The name of something that a server keeps. A lower rank wins.
    Held(u8),
    /// The name of a conversation, a session or a container that a server keeps, or an object with
    /// it. The server has what was said before, and the prompt has only what is new.
    Kept,
    System,
    Tools,
    /// Messages, or the prompt itself.
    Turns,
    /// Images and sounds beside a prompt.
    Media,
    /// The tensors of a KServe v2 request.
    Tensors,
}

impl Field {
    pub(super) fn of(key: &[u8], shape: Shape) -> Self {
        match key {
            b"inputs" if shape == Shape::Tensors => Self::Tensors,
            b"session_id" if shape == Shape::Session => Self::Held(0),
            _ if is_max_output(key) => Self::MaxOutput,
            _ => meaning(&FIELDS, key).unwrap_or(Self::Ignored),
        }
    }

    /// Whether the field is part of the prompt.
    pub(super) fn is_prompt(self) -> bool {
        matches!(
            self,
            Self::System | Self::Tools | Self::Turns | Self::Media | Self::Tensors
        )
    }

    /// Returns the meaning of a field of an [`Self::Options`] object.
    pub(super) fn of_option(key: &[u8]) -> Self {
        match key {
            b"stream" => Self::Stream,
            _ if is_max_output(key) => Self::MaxOutput,
            _ => Self::Ignored,
        }
    }
}

/// Whether a key limits the length of the answer. The spellings are those of OpenAI (three), TGI
/// and SGLang, TensorRT-LLM, and Gemini.
pub(super) fn is_max_output(key: &[u8]) -> bool {
    matches!(
        key,
        b"max_tokens"
            | b"max_completion_tokens"
            | b"max_output_tokens"
            | b"max_new_tokens"
            | b"request_output_len"
            | b"maxOutputTokens"
    )
}

/// A field within a message or a system prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Text,
    /// A medium: a link, base64 data, an object that holds one of them, or a list of them.
    Media,
    /// A medium by the name under which a server keeps it.
    File,
    /// An object that holds a medium. A string here is text: the name of a source.
    Holder,
    /// A link or base64 data, if it stands in an object that holds a medium.
    Data,
    /// What a model hands to a tool or gets from it: an object whose keys mean nothing and whose
    /// strings are all text.
    Plain,
    /// What the model does not read. It must not count: clients write one message in two ways
    /// (`"hi"`, `[{"type": "text", "text": "hi"}]`), and move marks for the cache to the newest
    /// message.
    Label,
}

impl Part {
    pub(super) fn of(key: &[u8]) -> Self {
        meaning(&PARTS, key).unwrap_or(Self::Text)
    }
}

/// Whether a tool's field names what a server keeps: containers of code, files, and stores of them.
pub(super) fn names_for_tool(key: &[u8]) -> bool {
    matches!(key, b"container" | b"file_ids" | b"vector_store_ids")
}
