//! Recorded traffic: reads arrival times and lengths from a file's bytes.
//!
//! Two published formats are read. Neither holds text.
//!
//! - Mooncake's JSON lines: `{"timestamp": ms, "input_length", "output_length", "hash_ids"}`, with
//!   one hash per block of 512 tokens. Equal hashes mean equal text.
//! - Azure's CSV: `TIMESTAMP,ContextTokens,GeneratedTokens`.
//!
//! Every line is checked. The first bad line is an error that names line, field, value and fix.

mod azure;
mod mooncake;

use std::sync::Arc;

use crate::rng::mix;
use crate::{Limits, Part, Prompt, Role, Segment, Session, Turn};

/// Most rows of one trace.
pub const MOST_ROWS: usize = 1_000_000;
/// Longest line in bytes. A Mooncake row of a million prompt tokens has about 16 KB.
pub const LONGEST_LINE_BYTES: usize = 256 * 1024;
/// Most prompt or answer tokens of one row.
pub const MOST_TOKENS: u32 = 10_000_000;

/// A recorded request.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Seconds after the first row. Never less than in the row before.
    pub at_s: f64,
    /// Prompt tokens, at least 1.
    pub prompt_tokens: u32,
    /// Answer tokens, at least 1.
    pub output_tokens: u32,
    /// Identities of the prompt's blocks of [`Trace::block_tokens`] tokens. The last block may be
    /// partial. Empty means that the trace does not identify blocks, and the prompt shares nothing.
    pub blocks: Vec<u64>,
}

/// A whole recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// `mooncake` or `azure`.
    pub format: &'static str,
    /// Tokens per entry of [`Row::blocks`].
    pub block_tokens: u32,
    /// The requests, at least one, in order of time.
    pub rows: Vec<Row>,
}

/// Why a trace is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("trace line {line}: {field}: {value:?} {reason}; {fix}")]
pub struct TraceError {
    /// Line number, from 1.
    pub line: usize,
    /// Name of the column or key.
    pub field: &'static str,
    /// The value in the file, shortened.
    pub value: String,
    /// What is wrong with the value.
    pub reason: &'static str,
    /// What to write instead.
    pub fix: &'static str,
}

/// How a trace is replayed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Replay {
    /// Factor for times. Below 1 is faster. Positive and finite.
    pub time_scale: f64,
    /// Longer prompts and answers are shortened to these limits.
    pub limits: Limits,
}

impl TraceError {
    fn new(
        line: usize,
        field: &'static str,
        value: &str,
        reason: &'static str,
        fix: &'static str,
    ) -> Self {
        let value = value.chars().take(60).collect();
        Self {
            line,
            field,
            value,
            reason,
            fix,
        }
    }
}

impl Trace {
    /// Reads a trace. The first line decides the format. The caller must bound the size of `bytes`:
    /// the rows take at most about four times as much memory.
    ///
    /// # Errors
    /// Returns a [`TraceError`] for the first line that is malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, TraceError> {
        let first = bytes
            .split(|b| *b == b'\n')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        let mut trace = if first.starts_with(b"{") {
            Self {
                format: "mooncake",
                block_tokens: mooncake::BLOCK_TOKENS,
                rows: read(bytes, 0, mooncake::row)?,
            }
        } else if first == azure::HEADER.as_bytes() {
            Self {
                format: "azure",
                block_tokens: 0,
                rows: read(bytes, 1, azure::row)?,
            }
        } else {
            let fix = "give Mooncake JSON lines, or an Azure CSV that begins with TIMESTAMP,ContextTokens,GeneratedTokens";
            return Err(TraceError::new(
                1,
                "first line",
                &String::from_utf8_lossy(first),
                "is of no known form",
                fix,
            ));
        };
        let Some(start_s) = trace.rows.first().map(|row| row.at_s) else {
            return Err(TraceError::new(
                1,
                "rows",
                "",
                "are missing",
                "give a file with at least one request",
            ));
        };
        trace.rows.iter_mut().for_each(|row| row.at_s -= start_s);
        Ok(trace)
    }

    /// Returns the seconds from the first to the last row.
    #[must_use]
    pub fn span_s(&self) -> f64 {
        self.rows.last().map_or(0.0, |row| row.at_s)
    }

    /// Returns one session per row, in order of time. The seed only gives identities to text that
    /// the trace does not identify.
    pub fn sessions(&self, seed: u64, replay: Replay) -> impl Iterator<Item = Session> + '_ {
        let family: Arc<str> = self.format.into();
        self.rows.iter().zip(0_u64..).map(move |(row, index)| {
            let turn = self.turn(row, mix(seed, index), replay.limits);
            Session::single(index, row.at_s * replay.time_scale, family.clone(), turn)
        })
    }

    fn turn(&self, row: &Row, own: u64, limits: Limits) -> Turn {
        let room = limits.context_tokens.max(2);
        let output = row.output_tokens.min(room / 2);
        let mut left = row.prompt_tokens.min(room - output);
        let mut parts = Vec::with_capacity(row.blocks.len() + 1);
        let mut push = |id, tokens| {
            parts.push(Part {
                role: Role::User,
                segment: Segment { id, tokens },
            })
        };
        for block in &row.blocks {
            let tokens = left.min(self.block_tokens);
            if tokens == 0 {
                break;
            }
            push(mix(0x6d_6f6f_6e63_616b, *block), tokens);
            left -= tokens;
        }
        if left > 0 {
            push(mix(own, 1), left);
        }
        Turn {
            think_s: 0.0,
            prompt: Prompt { parts },
            answer: Segment {
                id: mix(own, 2),
                tokens: output,
            },
            adapter: None,
        }
    }
}

/// Applies `row` to every line after `skip` lines. Empty lines are ignored.
fn read(
    bytes: &[u8],
    skip: usize,
    row: impl Fn(usize, &str) -> Result<Row, TraceError>,
) -> Result<Vec<Row>, TraceError> {
    let mut rows: Vec<Row> = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|b| *b == b'\n')).skip(skip) {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let error = |reason, fix| {
            TraceError::new(number, "line", &String::from_utf8_lossy(line), reason, fix)
        };
        if line.len() > LONGEST_LINE_BYTES {
            return Err(error(
                "is longer than 256 KiB",
                "check that lines end with a line feed",
            ));
        }
        let Ok(text) = std::str::from_utf8(line) else {
            return Err(error("is not UTF-8", "convert the file to UTF-8"));
        };
        let row = row(number, text)?;
        if rows.last().is_some_and(|before| before.at_s > row.at_s) {
            return Err(error(
                "is earlier than the line before",
                "sort the file by time",
            ));
        }
        if rows.len() == MOST_ROWS {
            return Err(error(
                "is row 1,000,001",
                "split the file: a trace holds at most a million rows",
            ));
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Checks a token count. 0 becomes 1, because a request without prompt or answer cannot be sent.
fn tokens(line: usize, field: &'static str, value: u64) -> Result<u32, TraceError> {
    match u32::try_from(value) {
        Ok(count) if count <= MOST_TOKENS => Ok(count.max(1)),
        _ => Err(TraceError::new(
            line,
            field,
            &value.to_string(),
            "is too large",
            "at most 10,000,000 tokens per request",
        )),
    }
}

#[cfg(test)]
mod tests;
