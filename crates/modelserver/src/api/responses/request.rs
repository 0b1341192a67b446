//! The fields of the body of `/v1/responses` that this server reads.

use crate::api::body::{Body, Content, Message, Part};
use crate::api::error::ApiError;
use axum::body::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The body of a request. Unknown fields are ignored, as in vLLM.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Request {
    model: Option<String>,
    input: Option<Input>,
    instructions: Option<String>,
    pub(super) previous_response_id: Option<String>,
    max_output_tokens: Option<u32>,
    min_tokens: Option<u32>,
    ignore_eos: bool,
    seed: Option<i64>,
    metadata: Option<Map<String, Value>>,
    stream: Option<bool>,
    store: Option<bool>,
    background: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Items(Vec<Value>),
}

/// An item of the input: a message, a call of a tool, or its output.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Item {
    #[serde(rename = "type")]
    kind: Option<String>,
    role: Option<String>,
    content: Option<Content>,
    name: Option<String>,
    arguments: Option<String>,
    output: Option<Content>,
}

/// The parts of a request that its answer repeats, and that are remembered with it.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) instructions: Option<String>,
    pub(super) previous_response_id: Option<String>,
    pub(super) max_output_tokens: Option<u32>,
    pub(super) metadata: Map<String, Value>,
    pub(super) store: bool,
    pub(super) background: bool,
    /// The items of the input, without those of earlier turns.
    pub(super) items: Vec<Value>,
    /// The whole conversation up to the answer. Instructions are left out, because they hold for
    /// one turn only.
    pub(super) history: Vec<Message>,
}

impl Request {
    pub(super) fn parse(bytes: &Bytes) -> Result<Self, ApiError> {
        let request: Self = serde_json::from_slice(bytes).map_err(|error| {
            ApiError::bad_request(None, format!("The body is not a valid request: {error}."))
        })?;
        if request.in_background() && request.wants_stream() {
            return Err(ApiError::bad_request(
                Some("background"),
                "'background' together with 'stream' is not supported by this server.",
            ));
        }
        if request.in_background() && request.store == Some(false) {
            return Err(ApiError::bad_request(
                Some("background"),
                "'background' needs 'store': nobody could ask for the answer.",
            ));
        }
        Ok(request)
    }

    pub(super) fn wants_stream(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    pub(super) fn in_background(&self) -> bool {
        self.background.unwrap_or(false)
    }

    /// Returns the request as a chat that continues `history`.
    pub(super) fn into_chat(self, mut history: Vec<Message>) -> Result<(Body, Asked), ApiError> {
        let items = match self.input {
            None => Vec::new(),
            Some(Input::Text(text)) => {
                vec![
                    json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}),
                ]
            }
            Some(Input::Items(items)) => items,
        };
        if items.is_empty() {
            return Err(ApiError::bad_request(
                Some("input"),
                "'input' must be a text or hold at least one item.",
            ));
        }
        for item in &items {
            history.extend(message(item)?);
        }
        let system = self.instructions.iter().map(|text| Message {
            role: "system".to_owned(),
            content: Some(Content::Text(text.clone())),
        });
        let body = Body {
            messages: Some(system.chain(history.iter().cloned()).collect()),
            model: self.model,
            max_tokens: self.max_output_tokens,
            min_tokens: self.min_tokens,
            ignore_eos: self.ignore_eos,
            seed: self.seed,
            ..Body::default()
        };
        let asked = Asked {
            store: self.store.unwrap_or(true),
            background: self.background.unwrap_or(false),
            instructions: self.instructions,
            previous_response_id: self.previous_response_id,
            max_output_tokens: self.max_output_tokens,
            metadata: self.metadata.unwrap_or_default(),
            items,
            history,
        };
        Ok((body, asked))
    }
}

/// Returns the message of an item for the chat template. Returns `None` if the model does not see
/// the item.
fn message(item: &Value) -> Result<Option<Message>, ApiError> {
    let bad = |message: String| ApiError::bad_request(Some("input"), message);
    if !item.is_object() {
        return Err(bad("An item of 'input' is not an object.".to_owned()));
    }
    let item = Item::deserialize(item)
        .map_err(|error| bad(format!("An item of 'input' is not valid: {error}.")))?;
    let (role, text) = match item.kind.as_deref().unwrap_or("message") {
        "message" => {
            let missing = || bad("A message of 'input' has no 'role'.".to_owned());
            (item.role.ok_or_else(missing)?, text_of(item.content)?)
        }
        "function_call" => {
            let (name, arguments) = (item.name, item.arguments);
            let call = format!(
                "{} {}",
                name.unwrap_or_default(),
                arguments.unwrap_or_default()
            );
            ("assistant".to_owned(), call)
        }
        "function_call_output" => ("tool".to_owned(), text_of(item.output)?),
        "reasoning" => return Ok(None),
        kind => {
            return Err(bad(format!(
                "Items of type {kind:?} are not supported by this model; use message, function_call or function_call_output."
            )));
        }
    };
    let content = Some(Content::Text(text));
    Ok(Some(Message { role, content }))
}

fn text_of(content: Option<Content>) -> Result<String, ApiError> {
    let parts = match content {
        None => return Ok(String::new()),
        Some(Content::Text(text)) => return Ok(text),
        Some(Content::Parts(parts)) => parts,
    };
    let mut whole = String::new();
    for Part { kind, text } in parts {
        match (kind.as_str(), text) {
            ("input_text" | "output_text" | "text", Some(text)) => whole.push_str(&text),
            (kind, _) => {
                let message = format!(
                    "Content part of type {kind:?} is not supported by this model; use input_text."
                );
                return Err(ApiError::bad_request(Some("input"), message));
            }
        }
    }
    Ok(whole)
}
