//! Finds prompts that come as one text and are turns of a conversation, where nothing says so.
//!
//! Completion APIs have no messages. A client that keeps its history itself sends all of it again,
//! a little longer each time. Turns of one conversation share the digest of a block that other
//! prompts with the same beginning do not have. The key of the conversation comes from the
//! first such block that only one conversation has ([`SeenKeys`]). All pickers compute the same key
//! without talking to each other.
//!
//! Where only a part that every turn begins with was read ([`Request::opening`]), the key comes
//! from that part. Whether such prompts go on is found in the same way. Among them are long prompts
//! that share nothing. A prompt whose key is new here has a history only as far as it is likely to
//! be a later turn.
//!
//! Simulated: agents and chats that share system prompts, sent as texts:
//!
//! | key | p99, times the oracle's | in SLO |
//! |---|---|---|
//! | first tokens alone | 4.6 and 4.1 | 46 and 82 % |
//! | this module's keys | 3.0 and 2.3 | 99 and 100 % |
//!
//! # Rejected
//!
//! - The newest complete block: it is another one with every turn or two.
//! - Own memory of where each turn went: each of a hundred pickers has a hundredth of the turns.
//! - A block chosen by what is known of each beginning: a hundred pickers do not agree about that.
//!   2.4 and 3.0 instead of 1.7 and 2.1 after 300 s at 70 % load. With ten pickers 1.8 and 1.8.

use crate::own::mean_part::MeanPart;
use crate::own::recurrence::Recurrence;
use crate::own::seen_keys::{Key, SeenKeys};
use crate::request::BLOCKS;
use crate::rng::mix;
use crate::rule::candidates::prefix_key;
use crate::{Conversation, Request};

/// Comparisons over which the share of equal digests is taken.
const COMPARISONS: f64 = 50.0;
/// A block that a larger share of the prompts with the same beginning have in common does not tell
/// conversations apart. With 0.35 that may be a block that half of the system prompts reach into.
/// Then all users of one such prompt meet in one place.
const MOST_IN_COMMON: f64 = 0.2;

/// With fewer earlier turns per prompt, texts do not go on: they share nothing, and belong wherever
/// the queue is short. A picker that gets all requests counts one earlier turn per prompt, however
/// many there were, and none if the key was forgotten.
const FEWEST_TURNS: f64 = 0.25;

/// What is known of prompts that come as one text.
#[derive(Debug, Default)]
pub(crate) struct TextTurns {
    /// For each block: of the prompts whose beginning had been seen, the share that had it in
    /// common with the prompt before.
    in_common: [Share; BLOCKS],
    /// The newest keys.
    seen: SeenKeys,
    recurrence: Recurrence,
    /// Whether the newest request's key had been seen here.
    came_again: bool,
    /// The part of a text that the text before it with the same key had.
    repeated: MeanPart,
    /// Of the requests with a conversation, the share that did not go to the place of its key.
    away_share: f64,
}

/// A share of comparisons. It begins at a half, which is worth one comparison.
#[derive(Debug, Clone, Copy)]
struct Share {
    share: f64,
    of: f64,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            share: 0.5,
            of: 1.0,
        }
    }
}

impl Share {
    fn add(&mut self, shows: bool) {
        self.of = (self.of + 1.0).min(COMPARISONS);
        self.share += (f64::from(u8::from(shows)) - self.share) / self.of;
    }
}

impl TextTurns {
    /// Compares the digests of two prompts with the same first tokens, the newer one last.
    pub(crate) fn on_compared(&mut self, before: &[u32; BLOCKS], blocks: &[u32; BLOCKS]) {
        let pairs = before.iter().zip(blocks);
        for (share, (a, b)) in self.in_common.iter_mut().zip(pairs) {
            if *a != 0 && *b != 0 {
                share.add(a == b);
            }
        }
    }

    /// Records a request that is to be decided on.
    ///
    /// - `own_share`: the part of the pool's requests that this picker gets, 0 to 1.
    pub(crate) fn on_request(&mut self, request: &Request, own_share: f64) {
        let Some(before) = self.remember(request) else {
            return;
        };
        self.came_again = before.is_some();
        self.recurrence.add(self.came_again, own_share);
        if let (Some(before), Some(now)) = (before, request.prompt_tokens) {
            self.repeated.add(f64::from(before), f64::from(now));
        }
    }

    /// Records that a request of a conversation was sent.
    ///
    /// - `at_place`: to the place of the conversation's key, where nobody has to be told.
    pub(crate) fn on_placed(&mut self, at_place: bool) {
        let away = f64::from(u8::from(!at_place));
        self.away_share += (away - self.away_share) / COMPARISONS;
    }

    /// Returns the conversation that a text belongs to. `None`: it may belong to none, or the
    /// request names one itself. The answer is about the newest request.
    ///
    /// - `cached_share`: the cached share of the pool's mean prompt. Absent: unknown.
    /// - `is_told`: whether pickers told where the conversation with a key went.
    pub(crate) fn conversation(
        &self,
        request: &Request,
        cached_share: Option<f32>,
        is_told: impl Fn(u64) -> bool,
    ) -> Option<Conversation> {
        let key = self.key(request)?;
        // NaN becomes 0.
        let share = cached_share.filter(|share| *share > 0.0);
        let share = f64::from(share.unwrap_or(0.0)).min(1.0);
        let later = self.later_chance(is_told(key));
        let repeated = self.repeated.get();
        let share = match request.opening {
            Some(_) => later * share.max(repeated),
            None => share.max(later * repeated),
        };
        let tokens = f64::from(request.prompt_tokens.unwrap_or(0));
        (self.recurrence.per_evidence() >= FEWEST_TURNS).then_some(Conversation {
            is_named: false,
            is_cut: false,
            key,
            // `as` saturates, and the value is not negative.
            history_tokens: (share * tokens) as u32,
        })
    }

    /// Returns the chance that the newest request is a later turn, 0 to 1.
    ///
    /// Pickers tell where turns went, but for those that went to their keys' places. The more are
    /// told of, the surer is a key that nobody told of a new one.
    fn later_chance(&self, is_told: bool) -> f64 {
        if self.came_again || is_told {
            return 1.0;
        }
        let later = self.recurrence.chance_elsewhere();
        let untold = later * (1.0 - self.away_share);
        untold / (untold + 1.0 - later).max(f64::MIN_POSITIVE)
    }

    /// Returns the key that all turns of a text's conversation have. Turns that are too short have
    /// none.
    fn key(&self, request: &Request) -> Option<u64> {
        if request.conversation.is_some() {
            return None;
        }
        if let Some(opening) = request.opening {
            return Some(mix(opening));
        }
        let key = self.keys(request).find(|key| !self.seen.is_shared(key.key));
        key.map(|key| key.key)
    }

    /// Remembers the key that a request has. Returns what [`SeenKeys::add`] does. `None`: the
    /// request has none.
    fn remember(&mut self, request: &Request) -> Option<Option<u32>> {
        if request.conversation.is_some() {
            return None;
        }
        let prompt_tokens = request.prompt_tokens.unwrap_or(0);
        if let Some(opening) = request.opening {
            return Some(self.seen.add(&Key::last(mix(opening)), prompt_tokens));
        }
        let mut keys = self.keys(request);
        keys.find_map(|key| {
            let before = self.seen.add(&key, prompt_tokens);
            (!self.seen.is_shared(key.key)).then_some(before)
        })
    }

    /// Returns the keys that a text may have, the most general one first.
    fn keys(&self, request: &Request) -> impl Iterator<Item = Key> + use<> {
        let tells_apart = |share: &Share| share.share < MOST_IN_COMMON;
        let first = self.in_common.iter().position(tells_apart);
        let prefix = request.prefix.filter(|prefix| prefix.head == 0);
        let blocks = prefix.map_or([0; BLOCKS], |prefix| prefix.blocks);
        let beginning = prefix_key(request).unwrap_or(0);
        let block = move |at: usize| blocks.get(at).copied().unwrap_or(0);
        (first.unwrap_or(BLOCKS)..BLOCKS)
            .take_while(move |at| block(*at) != 0)
            .map(move |at| Key {
                key: mix(beginning ^ mix(u64::from(block(at)))),
                next: block(at + 1),
            })
    }
}

#[cfg(test)]
mod tests;
