//! Turns prompts and messages into tokens.

use super::body::{Body, Content, Message, Prompt};
use super::error::ApiError;
use super::kinds::Kind;
use crate::text::Tokens;

/// Renders each prompt to tokens.
pub(super) fn render(
    kind: Kind,
    body: &Body,
    key: u64,
    domain: u64,
) -> Result<Vec<Tokens>, ApiError> {
    let empty = Tokens::new(key, domain);
    let prompts = match kind {
        Kind::Chat | Kind::Response => {
            let messages = body.messages.as_deref().unwrap_or_default();
            if messages.is_empty() {
                return Err(ApiError::bad_request(
                    Some("messages"),
                    "'messages' must hold at least one message.",
                ));
            }
            vec![chat(empty, messages)?]
        }
        Kind::Completion => {
            let Some(prompt) = &body.prompt else {
                return Err(ApiError::bad_request(
                    Some("prompt"),
                    "'prompt' is missing.",
                ));
            };
            let of_text = |text: &String| {
                let mut tokens = empty.clone();
                tokens.push_text(text);
                tokens
            };
            let of_ids = |ids: &Vec<u32>| {
                let mut tokens = empty.clone();
                ids.iter().for_each(|id| tokens.push_id(*id));
                tokens
            };
            match prompt {
                Prompt::Text(text) => vec![of_text(text)],
                Prompt::Texts(texts) => texts.iter().map(of_text).collect(),
                Prompt::Tokens(ids) => vec![of_ids(ids)],
                Prompt::TokenLists(lists) => lists.iter().map(of_ids).collect(),
            }
        }
    };
    if prompts.is_empty() || prompts.iter().any(|tokens| tokens.count() == 0) {
        return Err(ApiError::bad_request(
            Some("prompt"),
            "A prompt must hold at least one token.",
        ));
    }
    Ok(prompts)
}

/// Renders messages by the chat template. Each message is a marker with the role, the words, and an
/// end marker. The marker of the assistant's turn comes last.
fn chat(mut tokens: Tokens, messages: &[Message]) -> Result<Tokens, ApiError> {
    for message in messages {
        tokens.push_marker(&message.role);
        match &message.content {
            Some(Content::Text(text)) => tokens.push_text(text),
            Some(Content::Parts(parts)) => {
                for part in parts {
                    match (part.kind.as_str(), &part.text) {
                        ("text", Some(text)) => tokens.push_text(text),
                        (kind, _) => {
                            let message = format!(
                                "Content part of type {kind:?} is not supported by this model; use text."
                            );
                            return Err(ApiError::bad_request(Some("messages"), message));
                        }
                    }
                }
            }
            None => {}
        }
        tokens.push_marker("");
    }
    tokens.push_marker("assistant");
    Ok(tokens)
}
