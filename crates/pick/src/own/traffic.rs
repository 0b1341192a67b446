//! What this picker's own stream of requests is like.

use crate::{Millis, Request};

/// Time constant of the rate (docs/algorithm.md#constants-of-the-decision).
const RATE_TAU_S: f64 = 5.0;
/// Time constant of the shares. The share of later turns is a property of the traffic. It may take
/// longer, and has to be steady.
const LATER_TAU_S: f64 = 60.0;

/// Sends over which the share of large ones is taken.
const LARGE_SENDS: f64 = 50.0;

/// Decayed counts of decisions.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Traffic {
    at: Millis,
    /// Decisions, with [`RATE_TAU_S`].
    recent: f64,
    /// Decisions, and those on requests with a history, with [`LATER_TAU_S`].
    all: f64,
    later: f64,
    /// Prompt tokens, and those of them that some endpoint may have in its cache, with
    /// [`LATER_TAU_S`].
    tokens: f64,
    shared_tokens: f64,
    /// Share of large sends, decayed per send.
    large: f64,
}

impl Traffic {
    pub(crate) fn on_request(&mut self, now: Millis, request: &Request) {
        let seconds = now.since(self.at) as f64 / 1e3;
        self.at = now;
        self.recent = self.recent * libm::exp(-seconds / RATE_TAU_S) + 1.0;
        let keep = libm::exp(-seconds / LATER_TAU_S);
        let has_past = request
            .conversation
            .is_some_and(|conversation| conversation.history_tokens > 0);
        self.all = self.all * keep + 1.0;
        self.tokens *= keep;
        self.shared_tokens *= keep;
        self.later = self.later * keep + f64::from(u8::from(has_past));
    }

    /// Records the prompt of a request, and how much of it may be cached somewhere.
    pub(crate) fn on_prompt(&mut self, tokens: f64, shared_tokens: f64) {
        self.tokens += tokens;
        self.shared_tokens += shared_tokens;
    }

    /// Returns the share of the prompt tokens that may be cached somewhere, 0 to 1.
    pub(crate) fn shared_share(&self) -> f64 {
        if self.tokens > 0.0 {
            self.shared_tokens / self.tokens
        } else {
            0.0
        }
    }

    /// Records that a request was sent.
    ///
    /// - `is_large`: the placement is large.
    pub(crate) fn on_sent(&mut self, is_large: bool) {
        self.large += (f64::from(u8::from(is_large)) - self.large) / LARGE_SENDS;
    }

    /// Returns the share of the sends that are large, 0 to 1.
    pub(crate) fn large_share(&self) -> f64 {
        self.large
    }

    /// Returns the decisions per second.
    pub(crate) fn per_s(&self) -> f64 {
        self.recent / RATE_TAU_S
    }

    /// Returns the share of the requests that continue a conversation, 0 to 1. If the number of
    /// turns is geometric, that is also the chance that another turn of the same conversation
    /// follows a request.
    pub(crate) fn later_share(&self) -> f64 {
        if self.all > 0.0 {
            self.later / self.all
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Conversation;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_rate_and_the_share_of_later_turns_are_found() {
        let mut own = Traffic::default();
        assert_eq!((own.per_s(), own.later_share()), (0.0, 0.0));
        for number in 0..4_000_u64 {
            let conversation = Some(Conversation {
                is_named: false,
                is_cut: false,
                key: 1,
                history_tokens: u32::from(number % 4 != 0) * 100,
            });
            let request = Request {
                conversation,
                ..Request::default()
            };
            own.on_request(Millis(number * 25), &request);
        }
        assert!((own.per_s() - 40.0).abs() < 0.5, "{}", own.per_s());
        assert!(
            (own.later_share() - 0.75).abs() < 0.01,
            "{}",
            own.later_share()
        );
        // If the clock steps back, no time has passed.
        own.on_request(Millis(0), &Request::default());
        assert!(own.per_s().is_finite());
    }
}
