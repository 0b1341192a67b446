//! Mooncake traces (FAST'25): JSON lines with the identities of 512-token blocks.

use serde::Deserialize;

use super::{Row, TraceError, tokens};

pub(super) const BLOCK_TOKENS: u32 = 512;

/// One line of the file. Unknown keys are ignored, because converters of other traces add their
/// own.
#[derive(Deserialize)]
struct Line {
    timestamp: f64,
    input_length: u64,
    output_length: u64,
    #[serde(default)]
    hash_ids: Vec<u64>,
}

/// Reads one line, for example
/// `{"timestamp": 0, "input_length": 600, "output_length": 50, "hash_ids": [0, 7]}`.
pub(super) fn row(line: usize, text: &str) -> Result<Row, TraceError> {
    let parsed: Line = serde_json::from_str(text).map_err(|_| {
        let fix = "write {\"timestamp\": ms, \"input_length\": n, \"output_length\": n, \"hash_ids\": [n, ...]}";
        TraceError::new(line, "line", text, "is not a Mooncake row", fix)
    })?;
    // A year in milliseconds. The limit also keeps differences exact.
    if !(0.0..=3.2e10).contains(&parsed.timestamp) {
        let fix = "give milliseconds after the start of the trace";
        return Err(TraceError::new(
            line,
            "timestamp",
            &parsed.timestamp.to_string(),
            "is out of range",
            fix,
        ));
    }
    let prompt_tokens = tokens(line, "input_length", parsed.input_length)?;
    if parsed.hash_ids.len() > prompt_tokens.div_ceil(BLOCK_TOKENS) as usize {
        let fix = "give at most one hash per 512 tokens of input_length";
        return Err(TraceError::new(
            line,
            "hash_ids",
            &parsed.hash_ids.len().to_string(),
            "are more than the prompt has blocks",
            fix,
        ));
    }
    let output_tokens = tokens(line, "output_length", parsed.output_length)?;
    Ok(Row {
        at_s: parsed.timestamp / 1_000.0,
        prompt_tokens,
        output_tokens,
        blocks: parsed.hash_ids,
    })
}
