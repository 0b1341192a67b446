//! Measures what a stream asks of servers, by drawing from it.

use std::collections::HashSet;

use crate::{Session, block_hashes};

/// Mean work of a workload's requests. The *cached* part is what one endless prefix cache would
/// find, after an equal number of earlier sessions. No real fleet finds more.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Demand {
    /// Requests measured.
    pub requests: u64,
    /// Requests per session.
    pub requests_per_session: f64,
    /// Prompt tokens per request.
    pub prompt_tokens: f64,
    /// Prompt tokens per request that the ideal prefix cache does not hold.
    pub uncached_tokens: f64,
    /// Answer tokens per request.
    pub output_tokens: f64,
    /// Tokens of context that a decode step reads: the mean over all answer tokens.
    pub context_tokens: f64,
}

/// Tokens per block of the ideal cache. The same as vLLM's default.
const BLOCK_TOKENS: u32 = 16;

impl Demand {
    /// Draws `2 * sessions` sessions from the stream, or fewer if the stream ends. The first
    /// `sessions` only fill the ideal cache, the rest are measured. All fields are zero if nothing
    /// is measured.
    pub fn measure(stream: impl Iterator<Item = Session>, sessions: usize) -> Self {
        let mut cache = HashSet::new();
        let mut hashes = Vec::new();
        let mut sum = Self::default();
        let mut measured = 0_u64;
        for (position, session) in stream.take(sessions.saturating_mul(2)).enumerate() {
            let counts = position >= sessions;
            measured += u64::from(counts);
            for turn in session {
                block_hashes(&turn, BLOCK_TOKENS, &mut hashes);
                let hits = hashes
                    .iter()
                    .take_while(|hash| cache.contains(*hash))
                    .count();
                cache.extend(hashes.iter().copied());
                if counts {
                    sum.add(
                        f64::from(turn.prompt.tokens()),
                        hits as f64 * f64::from(BLOCK_TOKENS),
                        f64::from(turn.answer.tokens),
                    );
                }
            }
        }
        sum.mean(measured)
    }

    fn add(&mut self, prompt: f64, cached: f64, output: f64) {
        self.requests += 1;
        self.prompt_tokens += prompt;
        self.uncached_tokens += prompt - cached;
        self.output_tokens += output;
        self.context_tokens += output * (prompt + output / 2.0);
    }

    fn mean(self, sessions: u64) -> Self {
        let requests = (self.requests as f64).max(1.0);
        Self {
            requests: self.requests,
            requests_per_session: self.requests as f64 / (sessions as f64).max(1.0),
            prompt_tokens: self.prompt_tokens / requests,
            uncached_tokens: self.uncached_tokens / requests,
            output_tokens: self.output_tokens / requests,
            context_tokens: self.context_tokens / self.output_tokens.max(1.0),
        }
    }
}
