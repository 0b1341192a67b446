//! The fields of request bodies that this server reads. Unknown fields are ignored, as in vLLM.

use super::error::ApiError;
use axum::body::Bytes;
use serde::Deserialize;

/// Body of `/v1/completions` and `/v1/chat/completions`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Body {
    /// `None` means the base model.
    pub(super) model: Option<String>,
    pub(super) prompt: Option<Prompt>,
    pub(super) messages: Option<Vec<Message>>,
    pub(super) max_tokens: Option<u32>,
    /// Has precedence over `max_tokens`.
    pub(super) max_completion_tokens: Option<u32>,
    pub(super) min_tokens: Option<u32>,
    pub(super) ignore_eos: bool,
    pub(super) n: Option<u32>,
    pub(super) seed: Option<i64>,
    pub(super) stream: Option<bool>,
    pub(super) stream_options: Option<StreamOptions>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StreamOptions {
    pub(super) include_usage: Option<bool>,
}

/// One or several prompts, as text or as token numbers.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Prompt {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    TokenLists(Vec<Vec<u32>>),
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Message {
    pub(super) role: String,
    #[serde(default)]
    pub(super) content: Option<Content>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// A part of a message. Only text is accepted.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Part {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) text: Option<String>,
}

impl Body {
    pub(super) fn parse(bytes: &Bytes) -> Result<Self, ApiError> {
        serde_json::from_slice(bytes).map_err(|error| {
            ApiError::bad_request(None, format!("The body is not a valid request: {error}."))
        })
    }

    pub(super) fn wants_stream(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    pub(super) fn wants_usage(&self) -> bool {
        self.stream_options
            .as_ref()
            .and_then(|options| options.include_usage)
            .unwrap_or(false)
    }
}
