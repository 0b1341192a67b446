//! Limits of an answer's length, and the length that it will have.

use super::body::Body;
use super::error::ApiError;
use super::kinds::{Choice, Kind};
use crate::metrics::Finish;
use crate::text::Answer;

/// Most tokens of `/v1/completions` when the client gives no limit, as with OpenAI and vLLM.
const COMPLETION_MAX_TOKENS: u32 = 16;

/// The limits of an answer's length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) max_tokens: u32,
    min_tokens: u32,
    ignore_eos: bool,
}

impl Limits {
    pub(super) fn of(
        kind: Kind,
        body: &Body,
        prompt_tokens: u32,
        context_tokens: u32,
    ) -> Result<Self, ApiError> {
        let asked = body.max_completion_tokens.or(body.max_tokens);
        if asked == Some(0) {
            return Err(ApiError::bad_request(
                Some("max_tokens"),
                "max_tokens must be at least 1, got 0.",
            ));
        }
        let room = context_tokens.saturating_sub(prompt_tokens);
        if room < asked.unwrap_or(1) {
            let asked = asked.unwrap_or(1);
            let message = format!(
                "This model's maximum context length is {context_tokens} tokens. However, you requested {asked} output tokens and your \
                 prompt contains {prompt_tokens} input tokens. Please reduce the length of the input prompt or the number of requested \
                 output tokens."
            );
            return Err(ApiError::bad_request(Some("max_tokens"), message));
        }
        let unasked = match kind {
            Kind::Chat | Kind::Response => room,
            Kind::Completion => room.min(COMPLETION_MAX_TOKENS),
        };
        let max_tokens = asked.unwrap_or(unasked);
        let min_tokens = body.min_tokens.unwrap_or(0);
        if min_tokens > max_tokens {
            let message =
                format!("min_tokens must be at most max_tokens={max_tokens}, got {min_tokens}.");
            return Err(ApiError::bad_request(Some("min_tokens"), message));
        }
        Ok(Self {
            max_tokens,
            min_tokens,
            ignore_eos: body.ignore_eos,
        })
    }

    pub(super) fn choose(&self, answer: Answer) -> Choice {
        let natural = answer.natural_length().max(self.min_tokens).max(1);
        let stops = !self.ignore_eos && natural < self.max_tokens;
        Choice {
            answer,
            output_tokens: if stops { natural } else { self.max_tokens },
            finish: if stops { Finish::Stop } else { Finish::Length },
        }
    }
}
