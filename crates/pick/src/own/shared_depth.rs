//! Finds how much of a prompt others share, where the request does not say that. There are two such
//! kinds of prompts:
//!
//! - one text whose first part is shared, as benchmarks, templates and completion APIs send it;
//! - a marked system prompt that ends with something of its own, such as a name or a date.
//!
//! Each prompt is compared with the one before it that began in the same way. A beginning that was
//! never seen here counts as shared as far as others are likely to have seen it, and as far as the
//! pool's caches and the compared prompts say that prompts are ([`KnownBeginnings`]).
//!
//! Without this only the tokens that the key is made of would count as cached. The shared tokens
//! behind them would be prefilled wherever the queue is short. Simulated with 200 shared beginnings
//! of 1,000 to 6,000 tokens (85 % load, 100 pickers): 1.21 times the oracle's p99, and without it
//! no request in SLO.
//!
//! # Rejected
//!
//! - Only what was seen here: a hundred pickers learn too slowly (128 times the oracle's p99).
//! - The pool's cached share alone: prompts that were scattered have no cached share, and stay
//!   scattered (58 times with 500 beginnings).

mod known;
mod slot;

use alloc::vec;
use alloc::vec::Vec;

use crate::own::text_turns::TextTurns;
use crate::request::{BLOCKS, Prefix};
use crate::{Conversation, Request};

use known::KnownBeginnings;
use slot::{FIRST_TOKENS, Slot, reach};

/// Beginnings that are remembered, a power of two. About 56 KiB, allocated with the first prompt
/// that needs them.
const SLOTS: usize = 1_024;
/// Requests over which a share is taken. The first number is for shares that may be wrong for long,
/// the second for one that has to be known soon.
const MEAN_REQUESTS: f64 = 50.0;
const FEW_REQUESTS: f64 = 20.0;
/// If others share at least this fraction of a marked part, as far as digests reach, the prompt is
/// keyed by its first tokens: the end of the marked part may be its own. If they share less,
/// several marked parts begin in the same way.
const MOST_OF_MARKED: f64 = 0.75;

/// What is known of beginnings of prompts.
#[derive(Debug)]
pub(crate) struct SharedDepths {
    slots: Vec<Slot>,
    known: KnownBeginnings,
    /// Marked parts by slot, and whether each came again.
    marked: Vec<(u64, bool)>,
    /// Of the prompts with a marked part whose beginning had been seen, the share whose whole
    /// marked part had been seen.
    again_share: f64,
    turns: TextTurns,
}

impl Default for SharedDepths {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            known: KnownBeginnings::default(),
            marked: Vec::new(),
            again_share: 1.0,
            turns: TextTurns::default(),
        }
    }
}

impl SharedDepths {
    /// Records a request that is to be decided on. A request that continues a conversation is not
    /// compared, because it shares its history only with its own earlier turns.
    ///
    /// - `own_share`: the part of the pool's requests that this picker gets, 0 to 1.
    pub(crate) fn on_request(&mut self, request: &Request, own_share: f64) {
        let is_later = |conversation: Conversation| conversation.history_tokens > 0;
        let prefix = request.prefix.filter(|prefix| prefix.blocks != [0; BLOCKS]);
        if let Some(prefix) = prefix.filter(|_| !request.conversation.is_some_and(is_later)) {
            if self.slots.is_empty() {
                self.slots = vec![Slot::default(); SLOTS];
                self.marked = vec![(0, false); SLOTS];
            }
            let again = self.comes_again(&prefix);
            let is_marked = prefix.head != 0;
            let prefix = of_head(prefix);
            if let Some(slot) = self.slots.get_mut(place(prefix.key)) {
                let known = slot.key == prefix.key;
                self.known.add(known, is_marked, own_share);
                let compared = known && !slot.may_go_on_as(&prefix, request.prompt_tokens);
                if compared {
                    self.turns.on_compared(&slot.blocks, &prefix.blocks);
                }
                slot.compare(&prefix);
                let tokens = whole(&prefix, request.prompt_tokens);
                if let Some(shared) = slot.shared(tokens).filter(|_| compared && !is_marked) {
                    self.known.on_compared(shared, tokens);
                }
                if slot.key == prefix.key {
                    slot.prompt_tokens = request.prompt_tokens.unwrap_or(0);
                }
                if let Some(again) = again.filter(|_| known) {
                    move_to(&mut self.again_share, again, FEW_REQUESTS);
                }
            }
        }
        self.turns.on_request(request, own_share);
    }

    /// Returns whether the marked part of a prompt has been seen before, and remembers that it has.
    /// `None`: the prompt has no marked part.
    fn comes_again(&mut self, prefix: &Prefix) -> Option<bool> {
        let seen = self.marked.get_mut(place(prefix.key));
        let seen = seen.filter(|_| prefix.head != 0)?;
        let again = seen.0 == prefix.key;
        *seen = (prefix.key, again);
        Some(again)
    }

    /// Returns the request as others have shown it to be: with as much of its prompt shared, and
    /// with the conversation that a text belongs to. The answer is the same until the next request.
    ///
    /// - `cached_share`: the cached share of the pool's mean prompt. Absent: unknown.
    /// - `is_told`: whether pickers told where the conversation with a key went.
    pub(crate) fn judge(
        &self,
        request: &Request,
        cached_share: Option<f32>,
        is_told: impl Fn(u64) -> bool,
    ) -> Request {
        Request {
            prefix: request
                .prefix
                .map(|prefix| self.judge_prefix(prefix, request.prompt_tokens, cached_share)),
            conversation: request
                .conversation
                .or_else(|| self.turns.conversation(request, cached_share, is_told)),
            ..*request
        }
    }

    /// Records that a request of a conversation was sent.
    ///
    /// - `at_place`: to the place of the conversation's key, where nobody has to be told.
    pub(crate) fn on_placed(&mut self, at_place: bool) {
        self.turns.on_placed(at_place);
    }

    fn judge_prefix(
        &self,
        prefix: Prefix,
        prompt_tokens: Option<u32>,
        cached_share: Option<f32>,
    ) -> Prefix {
        if prefix.blocks == [0; BLOCKS] {
            return prefix;
        }
        let head = of_head(prefix);
        let slot = self.slots.get(place(head.key));
        let slot = slot.filter(|slot| slot.key == head.key);
        let prompt_tokens = whole(&prefix, prompt_tokens);
        let tokens = if prefix.head == 0 {
            slot.and_then(|slot| slot.shared(prompt_tokens))
                .unwrap_or_else(|| self.new_text_tokens(prompt_tokens, cached_share))
        } else {
            let whole = f64::from(prefix.tokens);
            match slot.and_then(Slot::alike) {
                None => self.known.new_marked_chance() * whole,
                Some(alike) if alike >= MOST_OF_MARKED * reach(prefix.tokens) => {
                    whole * (alike / reach(prefix.tokens)).min(1.0)
                }
                Some(_) if self.has_come_again(prefix.key) => return prefix,
                Some(alike) => alike,
            }
        };
        Prefix {
            // `as` saturates, and the value is not negative.
            tokens: libm::round(tokens.min(prompt_tokens)) as u32,
            ..head
        }
    }

    /// Returns how many tokens of a text with a new beginning others are expected to share.
    fn new_text_tokens(&self, prompt_tokens: f64, cached_share: Option<f32>) -> f64 {
        // NaN becomes 0.
        let cached = cached_share.filter(|share| *share > 0.0);
        let unknown = FIRST_TOKENS / prompt_tokens;
        let cached = match cached_share {
            Some(_) => f64::from(cached.unwrap_or(0.0)),
            None => unknown,
        };
        self.known.new_text_part(cached.min(1.0)) * prompt_tokens
    }

    /// Returns whether a marked part is one of those that come again, or likely to be one.
    fn has_come_again(&self, key: u64) -> bool {
        self.again_share >= 0.5 || self.marked.get(place(key)) == Some(&(key, true))
    }
}

/// Returns the estimated tokens of a whole prompt, at least 1.
fn whole(prefix: &Prefix, prompt_tokens: Option<u32>) -> f64 {
    f64::from(prompt_tokens.unwrap_or(prefix.tokens).max(1))
}

/// Returns the same prompt, keyed by its first tokens.
fn of_head(prefix: Prefix) -> Prefix {
    match prefix.head {
        0 => prefix,
        key => Prefix {
            key,
            head: 0,
            ..prefix
        },
    }
}

/// Moves a share towards what one more request shows.
fn move_to(share: &mut f64, shows: bool, requests: f64) {
    *share += (f64::from(u8::from(shows)) - *share) / requests;
}

/// Returns the slot of a beginning. Keys are hashes.
fn place(key: u64) -> usize {
    key as usize & (SLOTS - 1)
}

#[cfg(test)]
mod tests;
