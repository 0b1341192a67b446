//! How much of a prompt others begin with, where the request does not say it: one text whose first part is shared, as benchmarks, templates and
//! completion APIs send it, or a marked system prompt that ends with something of its own, a name or a date. Found by comparing prompts that begin
//! alike, one with the one before; what was never seen here is believed to be shared as far as the pool's caches say that prompts are.
//!
//! Without it only the part that the key is made of would count as cached, and what lies behind it would be prefilled wherever the queue is
//! short: in simulation 200 shared beginnings of 1,000 to 6,000 tokens (85 % load, 100 deciders) end with nothing in SLO, and with it at 1.16
//! times the oracle's p99. Rejected: only what was seen here, because a hundred deciders learn too slowly (128 times the oracle's); the cached share
//! taken from own prompts, whose mean is off (prompts that share nothing get 1.5 times worse).

use alloc::vec;
use alloc::vec::Vec;

use crate::own::text_turns::TextTurns;
use crate::request::{BLOCK_TOKENS, BLOCKS, Prefix};
use crate::{Conversation, Request};

/// Beginnings remembered, a power of two. About 56 KiB, from the first prompt on for which they are needed.
const SLOTS: usize = 1_024;
/// Part of a new observation in what is remembered: prompts that begin alike may go on in several ways.
const NEW_PART: f32 = 0.25;
/// Other beginnings in the same slot that come in between and do not displace one: that is shared, and that was seen once.
const PATIENCE: u8 = 2;
const PATIENCE_AT_FIRST: u8 = 1;

/// Requests over which shares are taken: of what may be wrong for long, and of what has to be known soon.
const MEAN_REQUESTS: f64 = 50.0;
const FEW_REQUESTS: f64 = 20.0;
/// Prompts that the belief of the start is worth. Of 200 shared beginnings with Zipf's popularity one comes again within seven prompts.
const FIRST_BELIEF: f64 = 4.0;
/// Tokens that the key of a prompt's first ones stands for.
const FIRST_TOKENS: f64 = 256.0;
/// How many times likelier a marked part is to be shared than the share of beginnings that this decider has seen before.
const MARKED_TRUST: f64 = 4.0;
/// A marked part of which others share at least so much, as far as digests reach, goes by the prompt's first tokens: its end may be its own. Of
/// one of which they share less there are several that begin alike.
const MOST_OF_MARKED: f64 = 0.75;

/// What is known of beginnings of prompts.
#[derive(Debug)]
pub(crate) struct SharedDepths {
    slots: Vec<Slot>,
    /// Shares of the prompts whose beginning had been seen: of those with a marked part, and of those without.
    known_marked: Known,
    known_text: Known,
    /// The same of all, which is believed for longer, and how many are texts.
    known: Known,
    texts: Known,
    /// Marked parts by slot, and whether each came again.
    marked: Vec<(u64, bool)>,
    /// Of the prompts with a marked part whose beginning had been seen, the share of those whose whole marked part had been.
    again_share: f64,
    turns: TextTurns,
}

impl Default for SharedDepths {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            known_marked: Known::default(),
            known_text: Known::default(),
            known: Known {
                of: MEAN_REQUESTS,
                ..Known::default()
            },
            texts: Known::default(),
            marked: Vec::new(),
            again_share: 1.0,
            turns: TextTurns::default(),
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    key: u64,
    /// Of the newest prompt with this beginning.
    blocks: [u32; BLOCKS],
    /// Tokens that its prompts share; 0: nobody knows.
    tokens: f32,
    /// Of the newest prompt as a whole.
    prompt_tokens: u32,
    strikes: u8,
}

/// The share of prompts whose beginning had been seen.
#[derive(Debug, Clone, Copy)]
struct Known {
    share: f64,
    /// Prompts behind it, and how many the belief of the start is worth.
    of: f64,
}

impl Default for Known {
    /// Others may know what this decider does not: until some were seen, all are taken to be known.
    fn default() -> Self {
        Self {
            share: 1.0,
            of: FIRST_BELIEF,
        }
    }
}

impl Known {
    fn add(&mut self, known: bool) {
        self.of = (self.of + 1.0).min(MEAN_REQUESTS);
        move_to(&mut self.share, known, self.of);
    }
}

impl SharedDepths {
    /// A request is to be decided on. One that continues a conversation says nothing: what it shares with the turn before is its own.
    /// `own_share`: the part of the pool's requests that this decider gets, 0 to 1.
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
                self.known.add(known);
                self.texts.add(!is_marked);
                match is_marked {
                    true => self.known_marked.add(known),
                    false => self.known_text.add(known),
                }
                if known && !slot.may_go_on_as(&prefix, request.prompt_tokens) {
                    self.turns.on_compared(&slot.blocks, &prefix.blocks);
                }
                slot.compare(&prefix);
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

    /// Whether the marked part of a prompt has been seen before, and from now on it has; absent: it has none.
    fn comes_again(&mut self, prefix: &Prefix) -> Option<bool> {
        let seen = self.marked.get_mut(place(prefix.key));
        let seen = seen.filter(|_| prefix.head != 0)?;
        let again = seen.0 == prefix.key;
        *seen = (prefix.key, again);
        Some(again)
    }

    /// The request with as much of its prompt taken to be shared as others have shown, and with the conversation that a text belongs to; the same
    /// answer until the next request comes.
    /// `cached_share`: of the pool's mean prompt; absent: unknown.
    pub(crate) fn judge(&self, request: &Request, cached_share: Option<f32>) -> Request {
        Request {
            prefix: request
                .prefix
                .map(|prefix| self.judge_prefix(prefix, request.prompt_tokens, cached_share)),
            conversation: request
                .conversation
                .or_else(|| self.turns.conversation(request, cached_share)),
            ..*request
        }
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
        let seen = slot.filter(|slot| slot.key == head.key && slot.tokens > 0.0);
        let seen = seen.map(|slot| f64::from(slot.tokens));
        let prompt_tokens = f64::from(prompt_tokens.unwrap_or(prefix.tokens));
        let tokens = if prefix.head == 0 {
            let expected = cached_share.map_or(FIRST_TOKENS, |share| {
                // NaN becomes 0.
                let share = if share > 0.0 { share.min(1.0) } else { 0.0 };
                f64::from(share) * prompt_tokens
            });
            seen.unwrap_or_else(|| self.new_text_share() * expected)
        } else {
            let whole = f64::from(prefix.tokens);
            let part = seen.map(|tokens| tokens / reach(prefix.tokens));
            match part {
                None => (self.known_marked.share * MARKED_TRUST).min(1.0) * whole,
                Some(part) if part >= MOST_OF_MARKED => whole * part.min(1.0),
                Some(_) if self.has_come_again(prefix.key) => return prefix,
                Some(_) => seen.unwrap_or(0.0),
            }
        };
        Prefix {
            // `as` saturates, and the value is not negative.
            tokens: libm::round(tokens.min(prompt_tokens)) as u32,
            ..head
        }
    }

    /// How likely a text whose beginning was never seen here is one of those that others have seen. What the pool's caches say of a mean prompt, they
    /// say of texts as far as prompts are texts: beside prompts that mark what they share, a long text is most likely its own.
    fn new_text_share(&self) -> f64 {
        let texts = self.texts.share;
        texts * self.known.share + (1.0 - texts) * self.known_text.share
    }

    /// Whether a marked part is one of those that come again, or likely to be one.
    fn has_come_again(&self, key: u64) -> bool {
        self.again_share >= 0.5 || self.marked.get(place(key)) == Some(&(key, true))
    }
}

/// How far digests reach into a marked part of so many tokens.
fn reach(tokens: u32) -> f64 {
    let within = BLOCK_TOKENS.iter().take_while(|block| **block <= tokens);
    within
        .last()
        .map_or(FIRST_TOKENS, |block| f64::from(*block))
}

/// The same prompt by its first tokens.
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

/// The slot of a beginning. Keys are hashes.
fn place(key: u64) -> usize {
    key as usize & (SLOTS - 1)
}

impl Slot {
    /// Whether a prompt that begins alike may be the next turn of the one before it.
    fn may_go_on_as(&self, prefix: &Prefix, prompt_tokens: Option<u32>) -> bool {
        let mut pairs = self.blocks.iter().zip(&prefix.blocks);
        let grows = prompt_tokens.is_some_and(|tokens| tokens > self.prompt_tokens);
        grows && pairs.all(|(before, now)| *before == 0 || before == now)
    }

    /// Compares a prompt with the one before it that began alike.
    fn compare(&mut self, prefix: &Prefix) {
        if self.key != prefix.key {
            self.strikes += 1;
            let patience = match (self.tokens > 0.0, self.blocks == [0; BLOCKS]) {
                (true, _) => PATIENCE,
                (_, true) => 0,
                _ => PATIENCE_AT_FIRST,
            };
            if self.strikes > patience {
                *self = Self {
                    key: prefix.key,
                    blocks: prefix.blocks,
                    ..Self::default()
                };
            }
            return;
        }
        self.strikes = 0;
        let equal = |(a, b): &(&u32, &u32)| a == b && **a != 0;
        let pairs = || self.blocks.iter().zip(&prefix.blocks);
        let alike = pairs().take_while(equal).count();
        let comparable = pairs().take_while(|(a, b)| **a != 0 && **b != 0).count();
        let nth = alike.checked_sub(1).and_then(|last| BLOCK_TOKENS.get(last));
        let tokens = nth.map_or(FIRST_TOKENS as f32, |tokens| *tokens as f32);
        let part = match self.tokens > 0.0 {
            true => NEW_PART,
            false => 1.0,
        };
        // The shorter one ended before they differed: they may share more.
        if alike < comparable || tokens > self.tokens {
            self.tokens += part * (tokens - self.tokens);
        }
        let is_shorter = |at: usize| at < BLOCKS && prefix.blocks.get(at) == Some(&0);
        if alike < comparable || !is_shorter(alike) {
            self.blocks = prefix.blocks;
        }
    }
}

#[cfg(test)]
mod tests;
