//! Scans the server-sent events of a streamed completion as bytes.
//!
//! A demo reads thousands of events per second on the cores that also run the servers. So the
//! content is found by its key, and few events are parsed as JSON. The search is exact for compact
//! JSON, without a space after the colon, as vLLM, SGLang and OpenAI write it. Events with such a
//! space, and those without content, are parsed as JSON.

use serde::Deserialize;

/// Most bytes of an unfinished event that are kept.
const LONGEST_EVENT_BYTES: usize = 1024 * 1024;

/// The content of one event.
#[derive(Debug, PartialEq)]
pub enum Event<'a> {
    /// New text: the inside of the JSON string with its escapes; never empty.
    Content(&'a str),
    /// The token counts. They come once, at the end.
    Usage(Usage),
    /// The event `[DONE]`.
    Done,
    /// The server reports a failure within the stream, or the data is no event stream.
    Error(String),
}

/// Token counts of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub completion_tokens: u32,
    /// Prompt tokens that the prefix cache held; absent if the server does not say.
    pub cached_tokens: Option<u32>,
}

/// Cuts a body into events, wherever the borders of its chunks are.
#[derive(Debug, Default)]
pub struct SseReader {
    partial: Vec<u8>,
}

impl SseReader {
    /// Reads the next chunk and calls `on` for every complete event.
    pub fn feed(&mut self, mut chunk: &[u8], on: &mut impl FnMut(Event<'_>)) {
        while let Some(end) = chunk.iter().position(|b| *b == b'\n') {
            let (line, rest) = chunk.split_at(end);
            if self.partial.is_empty() {
                read_line(line, on);
            } else {
                self.partial.extend_from_slice(line);
                read_line(&self.partial, on);
                self.partial.clear();
            }
            chunk = rest.get(1..).unwrap_or_default();
        }
        if self.partial.len() + chunk.len() > LONGEST_EVENT_BYTES {
            self.partial.clear();
            on(Event::Error("an event is longer than 1 MiB".to_owned()));
        } else {
            self.partial.extend_from_slice(chunk);
        }
    }
}

fn read_line(line: &[u8], on: &mut impl FnMut(Event<'_>)) {
    let Some(data) = line.strip_prefix(b"data:") else {
        return;
    };
    let data = data.trim_ascii();
    if data == b"[DONE]" {
        return on(Event::Done);
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return on(Event::Error("an event is not UTF-8".to_owned()));
    };
    if let Some(content) =
        string_after(text, "\"content\":\"").or_else(|| string_after(text, "\"text\":\""))
    {
        if !content.is_empty() {
            on(Event::Content(content));
        }
        // Usage comes in an event of its own, because this client never asks for
        // `continuous_usage_stats`.
        return;
    }
    read_json(text, on);
}

/// Returns the inside of the JSON string that follows `key`.
fn string_after<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let start = text.find(key)? + key.len();
    let inside = text.get(start..)?;
    let mut escaped = false;
    let end = inside.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    inside.get(..end)
}

#[derive(Deserialize)]
struct Chunk {
    usage: Option<RawUsage>,
    error: Option<serde_json::Value>,
    #[serde(default)]
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct RawUsage {
    prompt_tokens: u32,
    #[serde(default)]
    completion_tokens: u32,
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u32>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Delta>,
    text: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
}

fn read_json(text: &str, on: &mut impl FnMut(Event<'_>)) {
    let chunk: Chunk = match serde_json::from_str(text) {
        Ok(chunk) => chunk,
        Err(error) => return on(Event::Error(format!("an event is not JSON: {error}"))),
    };
    if let Some(error) = chunk.error {
        let shortened: String = error.to_string().chars().take(200).collect();
        return on(Event::Error(shortened));
    }
    for choice in chunk.choices {
        let content = choice
            .delta
            .and_then(|delta| delta.content)
            .or(choice.text)
            .unwrap_or_default();
        if !content.is_empty() {
            let quoted = serde_json::Value::String(content).to_string();
            on(Event::Content(quoted.trim_matches('"')));
        }
    }
    if let Some(usage) = chunk.usage {
        let cached_tokens = usage
            .prompt_tokens_details
            .and_then(|details| details.cached_tokens);
        on(Event::Usage(Usage {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            cached_tokens,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = concat!(
        "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"one \"}}]}\r\n\r\n",
        ": a comment\n\n",
        "data: {\"choices\": [{\"delta\": {\"content\": \"t\\\"wo\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n",
        "data: [DONE]\n\n",
    );

    fn read(chunks: &[&[u8]]) -> Vec<String> {
        let mut reader = SseReader::default();
        let mut seen = Vec::new();
        for chunk in chunks {
            reader.feed(chunk, &mut |event| seen.push(format!("{event:?}")));
        }
        seen
    }

    #[test]
    fn a_stream_reads_the_same_however_it_is_cut() {
        let whole = read(&[STREAM.as_bytes()]);
        let usage = Usage {
            prompt_tokens: 9,
            completion_tokens: 2,
            cached_tokens: Some(4),
        };
        let expected = [
            Event::Content("one "),
            Event::Content("t\\\"wo"),
            Event::Usage(usage),
            Event::Done,
        ];
        assert_eq!(whole, expected.map(|event| format!("{event:?}")));
        for cut in 0..STREAM.len() {
            let (a, b) = STREAM.as_bytes().split_at(cut);
            assert_eq!(read(&[a, b]), whole, "cut at {cut}");
        }
    }

    #[test]
    fn failures_within_the_stream_are_errors() {
        for bad in [
            "data: {\"error\":{\"message\":\"no\"}}\n",
            "data: {nonsense\n",
            "data: \u{fffd}x\n",
        ] {
            assert!(read(&[bad.as_bytes()])[0].starts_with("Error"), "{bad}");
        }
        assert!(read(&[b"data: \xff\n"])[0].starts_with("Error"));
        let endless = vec![b'x'; LONGEST_EVENT_BYTES + 1];
        assert!(read(&[&endless])[0].contains("1 MiB"));
    }
}
