//! What a body says, read from the whole document by the APIs' documentation: no state, no
//! streaming, nothing shared with the reader.

use serde_json::{Map, Value};

/// Tokens of an image, a sound, a file and a video.
const IMAGE: u64 = 1_000;
const SOUND: u64 = 500;
const FILE: u64 = 5_000;
const VIDEO: u64 = 6_000;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    bytes: u64,
    tokens: u64,
}

impl std::ops::AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.tokens += other.tokens;
    }
}

#[derive(Debug, Default)]
pub(super) struct Plain {
    pub(super) model: Option<String>,
    pub(super) stream: Option<bool>,
    pub(super) max_output_tokens: Option<u32>,
    pub(super) names_conversation: bool,
    system: u64,
    tools: u64,
    turns: Size,
    /// History of the messages alone; other fields may stand before them.
    history: Option<Size>,
    others: Size,
}

impl Plain {
    pub(super) fn prompt_tokens(&self) -> u64 {
        self.turns.tokens + (self.turns.bytes + self.system + self.tools) / 4
    }

    /// Returns the possible history: from the messages alone up to the messages with all other
    /// fields. How much counts depends on the order of the fields.
    pub(super) fn history_tokens(&self) -> std::ops::RangeInclusive<u64> {
        let Some(history) = self.history else {
            return 0..=0;
        };
        let shared = self.system + self.tools;
        let tokens = |size: Size| size.tokens + (size.bytes + shared) / 4;
        let mut most = history;
        most += self.others;
        tokens(history)..=tokens(most)
    }

    /// Returns the tokens of system prompt and tools, if these are long enough to be the beginning
    /// by themselves and enough text follows.
    pub(super) fn marked_tokens(&self) -> Option<u64> {
        let marked = self.system + self.tools;
        let text = self.turns.bytes + self.system + 4 * (self.turns.tokens % SOUND);
        (marked >= 1_024 && text >= 1_024).then_some(marked / 4)
    }
}

pub(super) fn read(path: &str, json: &str) -> Plain {
    let document: Map<String, Value> = serde_json::from_str(json).expect("a sample is JSON");
    let mut plain = Plain::default();
    let mut segments = path.rsplit('/');
    match segments.next() {
        Some("infer") => plain.stream = None,
        Some("generate_stream" | "generate") => {}
        _ => {}
    }
    for (key, value) in &document {
        match key.as_str() {
            "model" => plain.model = value.as_str().map(str::to_owned),
            "stream" => plain.stream = value.as_bool(),
            "max_tokens" | "max_completion_tokens" | "max_output_tokens" => {
                plain.bound(value);
            }
            "parameters" | "sampling_params" | "generationConfig" => plain.options(value),
            "system" | "instructions" | "systemInstruction" | "preamble" => {
                plain.system += content(value, false).bytes;
            }
            "tools" | "functions" => plain.tools += 1 + described(value),
            "messages" | "contents" | "input" | "chat_history" if is_chat(value) => {
                plain.chat(value.as_array().expect("messages"));
            }
            "inputs" if path.ends_with("/infer") => plain.tensors(value),
            "images" | "image_data" => {
                plain.turns.tokens += IMAGE * value.as_array().map_or(1, Vec::len) as u64;
            }
            "prompt" | "suffix" | "input" | "inputs" | "text" | "texts" | "text_input"
            | "message" | "query" | "documents" | "text_1" | "text_2" | "input_ids"
            | "token_ids" | "context" => {
                let size = content(value, false);
                plain.turns += size;
                plain.others += size;
            }
            _ => {}
        }
    }
    plain
}

fn is_chat(value: &Value) -> bool {
    let items = value.as_array().map_or(&[][..], Vec::as_slice);
    items.iter().any(Value::is_object)
}

impl Plain {
    fn bound(&mut self, value: &Value) {
        if let Some(tokens) = value.as_u64() {
            self.max_output_tokens = u32::try_from(tokens).ok();
        }
    }

    fn options(&mut self, value: &Value) {
        for key in ["max_tokens", "max_new_tokens", "maxOutputTokens"] {
            self.bound(&value[key]);
        }
        self.stream = value["stream"].as_bool().or(self.stream);
    }

    fn chat(&mut self, messages: &[Value]) {
        let mut has_user = false;
        let mut sum = Size::default();
        for message in messages {
            let mut said = Size::default();
            for (key, value) in message.as_object().expect("a message") {
                if !matches!(key.as_str(), "role" | "type") {
                    said += field(key, value, None);
                }
            }
            let of = |key: &str| message[key].as_str().unwrap_or_default();
            match (of("role"), of("type")) {
                ("system" | "developer", _) if !has_user => self.system += said.bytes,
                ("assistant" | "model", _) | (_, "function_call" | "reasoning") => {
                    sum += said;
                    self.history = Some(sum);
                }
                (role, _) => {
                    has_user |= role == "user";
                    sum += said;
                }
            }
        }
        self.turns += sum;
        self.names_conversation |= has_user;
    }

    fn tensors(&mut self, tensors: &Value) {
        for tensor in tensors.as_array().expect("tensors") {
            let mut data = Vec::new();
            flat(&tensor["data"], &mut data);
            match (tensor["name"].as_str(), data.as_slice()) {
                (Some("stream"), [flag]) => self.stream = flag.as_bool(),
                (Some("max_tokens" | "request_output_len"), [number]) => self.bound(number),
                (_, [Value::Number(_)]) => {}
                _ => {
                    self.turns += content(&Value::Array(data.into_iter().cloned().collect()), false)
                }
            }
        }
    }
}

fn flat<'v>(value: &'v Value, into: &mut Vec<&'v Value>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| flat(value, into)),
        other => into.push(other),
    }
}

/// Counts texts, token ids, and parts of messages. `is_literal`: everything there is text.
fn content(value: &Value, is_literal: bool) -> Size {
    let mut size = Size::default();
    match value {
        Value::String(text) => size.bytes = text.len() as u64,
        Value::Number(_) if !is_literal => size.tokens = 1,
        Value::Array(values) => {
            for value in values {
                size += match value {
                    // Numbers in objects do not belong to the prompt.
                    Value::Number(_) if is_literal => Size::default(),
                    value => content(value, is_literal),
                };
            }
        }
        Value::Object(fields) => {
            let kind = fields.get("type").and_then(Value::as_str).and_then(kind_of);
            for (key, value) in fields {
                size += match is_literal {
                    true => content(value, true),
                    false => field(key, value, kind),
                };
            }
        }
        _ => {}
    }
    size
}

/// Counts one field of a message or of a part of one. `kind`: what the part says about its kind.
fn field(key: &str, value: &Value, kind: Option<u64>) -> Size {
    let medium = |tokens| Size { bytes: 0, tokens };
    match (key, value) {
        ("type" | "cache_control" | "media_type" | "mime_type" | "mimeType" | "detail", _)
        | (_, Value::Number(_)) => Size::default(),
        ("input" | "arguments" | "args" | "response", Value::Object(_)) => content(value, true),
        ("images", Value::Array(images)) => medium(IMAGE * images.len() as u64),
        (
            "image" | "image_url" | "input_audio" | "audio_url" | "video_url" | "file_data"
            | "file_id",
            Value::String(_),
        ) => medium(kind.or_else(|| kind_of(key)).unwrap_or(IMAGE)),
        (
            "image" | "image_url" | "input_audio" | "audio_url" | "video_url" | "file" | "source"
            | "inline_data" | "inlineData",
            Value::Object(fields),
        ) => {
            let mut size = Size::default();
            let of = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default();
            let kind = kind_of(of("media_type")).or_else(|| kind_of(of("mimeType")));
            let kind = kind
                .or_else(|| kind_of(of("mime_type")))
                .or_else(|| kind_of(key));
            for (inner, value) in fields {
                size += match (inner.as_str(), value) {
                    ("data", Value::String(text)) if of("type") == "text" => Size {
                        bytes: text.len() as u64,
                        tokens: 0,
                    },
                    ("url" | "data" | "file_id" | "file_data", Value::String(_)) => {
                        medium(kind.unwrap_or(IMAGE))
                    }
                    _ => field(inner, value, None),
                };
            }
            size
        }
        _ => content(value, false),
    }
}

fn kind_of(word: &str) -> Option<u64> {
    match word {
        "image" | "image_url" | "input_image" | "image/png" => Some(IMAGE),
        "input_audio" | "audio_url" | "audio/wav" => Some(SOUND),
        "video_url" | "video/mp4" => Some(VIDEO),
        "file" | "document" | "input_file" | "application/pdf" | "file_data" => Some(FILE),
        _ => None,
    }
}

/// Returns the bytes of tools: keys and values with one mark for each, and one for each object and
/// list. The field itself has one too.
fn described(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.len() as u64 + 1,
        Value::Array(values) => 1 + values.iter().map(described).sum::<u64>(),
        Value::Object(fields) => {
            let field = |(key, value): (&String, &Value)| key.len() as u64 + 1 + described(value);
            1 + fields.iter().map(field).sum::<u64>()
        }
        other => other.to_string().len() as u64 + 1,
    }
}
