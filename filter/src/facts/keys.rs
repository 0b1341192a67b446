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
            b"parameters" | b"sampling_params" | b"generationConfig" => Self::Options,
            b"session_id" => Self::Session(0),
            b"conversation" => Self::Session(1),
            b"prompt_cache_key" => Self::Session(2),
            b"user" => Self::Session(3),
            b"system" | b"instructions" | b"systemInstruction" | b"system_instruction"
            | b"preamble" => Self::System,
            b"tools" | b"functions" => Self::Tools,
            b"inputs" if shape == Shape::Tensors => Self::Tensors,
            // Prompts of completions, chats and embeddings, of TGI, Triton and SGLang, of Gemini, Cohere and Ollama,
            b"messages" | b"input" | b"prompt" | b"suffix" | b"text" | b"inputs" | b"text_input"
            | b"input_ids" | b"token_ids" | b"contents" | b"message" | b"chat_history" | b"texts"
            | b"context"
            // and what is weighed against each other by rerank and score.
            | b"query" | b"queries" | b"documents" | b"text_1" | b"text_2" => Self::Turns,
            b"image_data" | b"audio_data" | b"video_data" | b"images" => Self::Media,
            _ if is_max_output(key) => Self::MaxOutput,
            _ => Self::Ignored,
        }
    }

    /// Whether it is part of the prompt.
    pub(super) fn is_prompt(self) -> bool {
        matches!(
            self,
            Self::System | Self::Tools | Self::Turns | Self::Media | Self::Tensors
        )
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

/// The spellings of OpenAI (three), TGI and SGLang, TensorRT-LLM, and Gemini.
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
    /// An object that holds a medium; where it is a string it is text, the name of a source.
    Holder,
    /// A link or base64 data if it stands in such an object.
    Data,
    /// What a model hands to a tool or gets from it: an object in which keys mean nothing and all strings are text.
    Plain,
    /// What the model does not read. Clients write one message in two ways (`"hi"`, `[{"type": "text", "text": "hi"}]`) and move marks
    /// for the cache to the newest message, so this must not count.
    Label,
}

impl Part {
    pub(super) fn of(key: &[u8]) -> Self {
        match key {
            b"image_url" | b"input_audio" | b"audio_url" | b"video_url" | b"image" | b"images"
            | b"audio" | b"video" | b"file_data" | b"file_url" | b"file_id" | b"file_uri"
            | b"fileUri" => Self::Media,
            b"source" | b"file" | b"inline_data" | b"inlineData" | b"fileData" => Self::Holder,
            b"url" | b"data" | b"bytes" => Self::Data,
            b"input" | b"arguments" | b"args" | b"response" => Self::Plain,
            b"type" | b"cache_control" | b"media_type" | b"mime_type" | b"mimeType" | b"detail" => {
                Self::Label
            }
            _ => Self::Text,
        }
    }
}
