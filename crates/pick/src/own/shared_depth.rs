//! Finds how much of a prompt others share, where the request does not say that. There are two such
//! kinds of prompts:
//!
//! - one text whose first part is shared, as benchmarks, templates and completion APIs send it;
//! - a marked system prompt that ends with something of its own, such as a name or a date.
//!
//! Each prompt is compared with the one before it that began in the same way. A beginning that was
//! never seen here counts as shared as far as the pool's caches say that prompts are.
//!
//! Without this only the tokens that the key is made of would count as cached. The shared tokens
//! behind them would be prefilled wherever the queue is short. Simulated with 200 shared beginnings
//! of 1,000 to 6,000 tokens (85 % load, 100 pickers): 1.16 times the oracle's p99, and without it
//! no request in SLO.
//!
//! # Rejected
//!
//! - Only what was seen here: a hundred pickers learn too slowly (128 times the oracle's p99).
//! - The cached share from own prompts: their mean is off (prompts that share nothing get 1.5 times
//!   worse).

use alloc::vec;
use alloc::vec::Vec;

use crate::own::text_turns::TextTurns;
use crate::request::{BLOCK_TOKENS, BLOCKS, Prefix};
use crate::{Conversation, Request};

/// Beginnings that are remembered, a power of two. About 56 KiB, allocated with the first prompt
/// that needs them.
const SLOTS: usize = 1_024;
/// Weight of a new observation in what is remembered. Prompts that begin in the same way may go on
/// in several ways.
const NEW_PART: f32 = 0.25;
/// A slot keeps its beginning for this many prompts with other beginnings. The first number is for
/// a beginning that is shared, the second for one that was seen once.
const PATIENCE: u8 = 2;
const PATIENCE_AT_FIRST: u8 = 1;

/// Requests over which a share is taken. The first number is for shares that may be wrong for long,
/// the second for one that has to be known soon.
const MEAN_REQUESTS: f64 = 50.0;
const FEW_REQUESTS: f64 = 20.0;
/// How many prompts the belief at the start is worth. Of 200 shared beginnings with Zipf's
/// popularity, one comes again within seven prompts.
const FIRST_BELIEF: f64 = 4.0;
/// Tokens that the key of a prompt's first tokens stands for.
const FIRST_TOKENS: f64 = 256.0;
/// How many times likelier a marked part is shared than this picker's share of seen beginnings
/// says.
const MARKED_TRUST: f64 = 4.0;
/// If others share at least this fraction of a marked part, as far as digests reach, the prompt is
/// keyed by its first tokens: the end of the marked part may be its own. If they share less,
/// several marked parts begin in the same way.
const MOST_OF_MARKED: f64 = 0.75;

/// What is known of beginnings of prompts.
#[derive(Debug)]
pub(crate) struct SharedDepths {
    slots: Vec<Slot>,
    /// Shares of the prompts whose beginning had been seen: of prompts with a marked part, and of
    /// prompts without.
    known_marked: Known,
    known_text: Known,
    /// The same share of all prompts. Its belief at the start is worth more. Then the share of the
    /// prompts that are texts.
    known: Known,
    texts: Known,
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
    /// Digests of the newest prompt with this beginning.
    blocks: [u32; BLOCKS],
    /// Tokens that prompts with this beginning share. 0: unknown.
    tokens: f32,
    /// Tokens of the newest prompt as a whole.
    prompt_tokens: u32,
    strikes: u8,
}

/// The share of prompts whose beginning had been seen.
#[derive(Debug, Clone, Copy)]
struct Known {
    share: f64,
    /// How many prompts the share is taken from, including what the belief at the start is worth.
    of: f64,
}

impl Default for Known {
    /// Other pickers may know what this one does not. Until some prompts were seen, all count as
    /// known.
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

    /// Returns how likely others have seen a text whose beginning is new here.
    ///
    /// The pool's caches show how much of a mean prompt is cached. That applies to texts only as
    /// far as prompts are texts. Beside prompts that mark what they share, a long text most likely
    /// shares nothing.
    fn new_text_share(&self) -> f64 {
        let texts = self.texts.share;
        texts * self.known.share + (1.0 - texts) * self.known_text.share
    }

    /// Returns whether a marked part is one of those that come again, or likely to be one.
    fn has_come_again(&self, key: u64) -> bool {
        self.again_share >= 0.5 || self.marked.get(place(key)) == Some(&(key, true))
    }
}

/// Returns how far digests reach into a marked part of so many tokens.
fn reach(tokens: u32) -> f64 {
    let within = BLOCK_TOKENS.iter().take_while(|block| **block <= tokens);
    within
        .last()
        .map_or(FIRST_TOKENS, |block| f64::from(*block))
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

impl Slot {
    /// Returns whether a prompt that begins in the same way may be the next turn of the one before
    /// it.
    fn may_go_on_as(&self, prefix: &Prefix, prompt_tokens: Option<u32>) -> bool {
        let mut pairs = self.blocks.iter().zip(&prefix.blocks);
        let grows = prompt_tokens.is_some_and(|tokens| tokens > self.prompt_tokens);
        grows && pairs.all(|(before, now)| *before == 0 || before == now)
    }

    /// Compares a prompt with the one before it that began in the same way.
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
        // The shorter prompt ended before they differed. They may share more.
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
