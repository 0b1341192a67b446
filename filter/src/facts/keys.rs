//! What the keys of a request body mean.

use super::path::Shape;

/// A top-level field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Ignored,
    Model,
    /// Whether the answer is streamed.
    Stream,
    /// How long the answer may get.
    MaxOutput,
    /// An object with sampling parameters, where some servers have [`Self::MaxOutput`] and [`Self::Stream`].
    Options,
    /// The client's own name for the conversation; a lower rank wins.
    Session(u8),
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
            b"model" => Self::Model,
            b"stream" => Self::Stream,
            b"parameters" | b"sampling_params" => Self::Options,
            b"session_id" => Self::Session(0),
            b"conversation" => Self::Session(1),
            b"prompt_cache_key" => Self::Session(2),
            b"user" => Self::Session(3),
            b"system" | b"instructions" => Self::System,
            b"tools" | b"functions" => Self::Tools,
            b"inputs" if shape == Shape::Tensors => Self::Tensors,
            // Prompts of completions, chats and embeddings, of TGI, Triton and SGLang,
            b"messages" | b"input" | b"prompt" | b"text" | b"inputs" | b"text_input"
            | b"input_ids" | b"token_ids"
            // and what is weighed against each other by rerank and score.
            | b"query" | b"queries" | b"documents" | b"text_1" | b"text_2" => Self::Turns,
            b"image_data" | b"audio_data" | b"video_data" => Self::Media,
            _ if is_max_output(key) => Self::MaxOutput,
            _ => Self::Ignored,
        }
    }

    /// A field of an [`Self::Options`] object.
    pub(super) fn of_option(key: &[u8]) -> Self {
        match key {
            b"stream" => Self::Stream,
            _ if is_max_output(key) => Self::MaxOutput,
            _ => Self::Ignored,
        }
    }
}

/// The spellings of OpenAI (three), TGI and SGLang, and TensorRT-LLM.
pub(super) fn is_max_output(key: &[u8]) -> bool {
    matches!(
        key,
        b"max_tokens"
            | b"max_completion_tokens"
            | b"max_output_tokens"
            | b"max_new_tokens"
            | b"request_output_len"
    )
}

/// A field within a message or a system prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Text,
    /// An image or a sound: a link, base64 data, or an object that holds one of them.
    Media,
    /// A link or base64 data if it stands in such an object.
    Data,
    /// What the model does not read. Clients write one message in two ways (`"hi"`, `[{"type": "text", "text": "hi"}]`) and move marks
    /// for the cache to the newest message, so this must not count.
    Label,
}

impl Part {
    pub(super) fn of(key: &[u8]) -> Self {
        match key {
            b"image_url" | b"input_audio" | b"audio_url" | b"video_url" | b"image" | b"source"
            | b"file" | b"file_data" | b"file_url" => Self::Media,
            b"url" | b"data" => Self::Data,
            b"type" | b"cache_control" => Self::Label,
            _ => Self::Text,
        }
    }
}
