//! Finds prompts that come as one text and are turns of a conversation, where nothing says so.
//!
//! Completion APIs have no messages. A client that keeps its history itself sends all of it again,
//! a little longer each time. Turns of one conversation share the digest of a block that other
//! prompts with the same beginning do not have. The key of the conversation comes from the
//! first such block. All pickers compute the same key without talking to each other.
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
//! | this module's keys | 3.1 and 2.2 | 99 and 100 % |
//!
//! # Rejected
//!
//! - The newest complete block: it is another one with every turn or two.
//! - Own memory of where each turn went: each of a hundred pickers has a hundredth of the turns.
//! - A block chosen by what is known of each beginning: a hundred pickers do not agree about that.
//!   2.4 and 3.0 instead of 1.7 and 2.1 after 300 s at 70 % load. With ten pickers 1.8 and 1.8.

use alloc::vec;
use alloc::vec::Vec;

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

/// Keys that are remembered, a power of two. 32 KiB, allocated with the first key.
const SEEN: usize = 16_384;
/// Earlier turns that a prompt is assumed to have before anything is known, and how much evidence
/// that is worth.
const EXPECTED_TURNS: f64 = 2.0;
const EXPECTATION: f64 = 1.0;
/// With fewer earlier turns per prompt, texts do not go on: they share nothing, and belong wherever
/// the queue is short. A picker that gets all requests counts one earlier turn per prompt, however
/// many there were, and none if the key was forgotten.
const FEWEST_TURNS: f64 = 0.25;
/// Bounds the number of earlier turns that a few prompts seem to show.
const LEAST_OF_MEAN: f64 = 0.1;
/// Evidence above which both counts are halved.
const MOST_EVIDENCE: f64 = 20.0;

/// What is known of prompts that come as one text.
#[derive(Debug, Default)]
pub(crate) struct TextTurns {
    /// For each block: of the prompts whose beginning had been seen, the share that had it in
    /// common with the prompt before.
    in_common: [Share; BLOCKS],
    /// The newest keys by slot.
    seen: Vec<u16>,
    /// Prompts whose key had been seen here.
    found: f64,
    /// How many would have been seen here if each prompt had one earlier turn, by this picker's
    /// share of the pool's requests.
    evidence: f64,
    /// Whether the newest request's key had been seen here, and this picker's share of the pool's
    /// requests at that time.
    came_again: bool,
    own_share: f64,
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
        let Some(key) = self.key(request) else {
            return;
        };
        if self.seen.is_empty() {
            self.seen = vec![0; SEEN];
        }
        if let Some(slot) = self.seen.get_mut(key as usize & (SEEN - 1)) {
            let tag = (key >> 48) as u16;
            self.came_again = *slot == tag;
            self.found += f64::from(u8::from(self.came_again));
            *slot = tag;
        }
        self.own_share = own_share.clamp(0.0, 1.0);
        self.evidence += own_share;
        if self.evidence > MOST_EVIDENCE {
            self.found *= 0.5;
            self.evidence *= 0.5;
        }
    }

    /// Returns the conversation that a text belongs to. `None`: it may belong to none, or the
    /// request names one itself. The answer is about the newest request.
    ///
    /// - `cached_share`: the cached share of the pool's mean prompt. Absent: unknown.
    pub(crate) fn conversation(
        &self,
        request: &Request,
        cached_share: Option<f32>,
    ) -> Option<Conversation> {
        let key = self.key(request)?;
        let turns = (self.found + EXPECTED_TURNS * EXPECTATION) / (self.evidence + EXPECTATION);
        // NaN becomes 0.
        let share = cached_share.filter(|share| *share > 0.0);
        let share = f64::from(share.unwrap_or(0.0)).min(1.0);
        let share = match request.opening {
            Some(_) => share * self.later_chance(turns),
            None => share,
        };
        let tokens = f64::from(request.prompt_tokens.unwrap_or(0));
        (turns >= FEWEST_TURNS).then_some(Conversation {
            is_named: false,
            is_cut: false,
            key,
            // `as` saturates, and the value is not negative.
            history_tokens: (share * tokens) as u32,
        })
    }

    /// Returns the chance that the newest request is a later turn, 0 to 1.
    ///
    /// With `m` earlier turns per prompt, geometrically distributed, of which this picker gets the
    /// share `s`, a prompt has none with the chance `1 / (1 + m)`, and none was seen here with the
    /// chance `1 / (1 + s m)`. So a prompt that was not seen here is a later turn with the chance
    /// `m (1 - s) / (1 + m)`.
    ///
    /// - `turns`: `m / (1 + s m)`, the prompts that were seen here per evidence.
    fn later_chance(&self, turns: f64) -> f64 {
        if self.came_again {
            return 1.0;
        }
        let unseen = 1.0 - self.own_share;
        let mean = turns / (1.0 - self.own_share * turns).max(LEAST_OF_MEAN);
        mean * unseen / (1.0 + mean)
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
        let prefix = request.prefix.filter(|prefix| prefix.head == 0)?;
        let tells_apart = |share: &Share| share.share < MOST_IN_COMMON;
        let at = self.in_common.iter().position(tells_apart)?;
        let block = prefix.blocks.get(at).filter(|block| **block != 0)?;
        Some(mix(prefix_key(request)? ^ mix(u64::from(*block))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Prefix;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// A text of this many blocks. All texts share the first two.
    fn text(conversation: u32, blocks: usize) -> Request {
        let block = |at: usize| match at {
            0 | 1 => 1,
            _ if at < blocks => 10 + conversation,
            _ => 0,
        };
        Request {
            prompt_tokens: Some(4_000),
            prefix: Some(Prefix {
                key: 7,
                tokens: 256,
                head: 0,
                blocks: core::array::from_fn(block),
            }),
            ..Request::default()
        }
    }

    fn blocks(request: &Request) -> [u32; BLOCKS] {
        request.prefix.unwrap().blocks
    }

    /// What a picker knows after so many texts, where each conversation has `turns` of them.
    fn after(texts: u32, turns: u32, own_share: f64) -> TextTurns {
        let mut known = TextTurns::default();
        for number in 0..texts {
            let request = text(number / turns, 5);
            known.on_compared(&blocks(&text(number + 1_000, 5)), &blocks(&request));
            known.on_request(&request, own_share);
        }
        known
    }

    fn key(turns: &TextTurns, request: &Request) -> Option<u64> {
        let conversation = turns.conversation(request, Some(0.8));
        conversation.map(|conversation| conversation.key)
    }

    #[test]
    fn turns_have_the_key_of_the_first_block_that_is_their_own() {
        let turns = after(10, 5, 1.0);
        let key = |request| key(&turns, &request);
        assert!(key(text(3, 3)).is_some());
        assert_eq!(key(text(3, 3)), key(text(3, 7)));
        assert_ne!(key(text(3, 3)), key(text(4, 3)));
        assert_eq!(key(text(3, 2)), None, "nothing of its own yet");
        let conversation = turns.conversation(&text(3, 3), Some(0.8)).unwrap();
        assert_eq!(conversation.history_tokens, 3_200);
        for wrong in [None, Some(f32::NAN), Some(-1.0)] {
            let conversation = turns.conversation(&text(3, 3), wrong).unwrap();
            assert_eq!(conversation.history_tokens, 0, "{wrong:?}");
        }
    }

    #[test]
    fn before_prompts_were_compared_nothing_is_known() {
        assert_eq!(key(&TextTurns::default(), &text(3, 7)), None);
    }

    #[test]
    fn texts_that_never_go_on_are_no_conversations() {
        assert!(key(&after(100, 5, 1.0), &text(3, 7)).is_some());
        assert_eq!(key(&after(100, 1, 1.0), &text(3, 7)), None);
        // One picker of a hundred has to see more of them.
        assert!(key(&after(100, 1, 0.01), &text(3, 7)).is_some());
        assert_eq!(key(&after(800, 1, 0.01), &text(3, 7)), None);
    }

    #[test]
    fn what_names_its_conversation_or_marks_its_beginning_keeps_that() {
        let turns = after(10, 5, 1.0);
        let named = Request {
            conversation: Some(Conversation {
                is_named: false,
                is_cut: false,
                key: 1,
                history_tokens: 0,
            }),
            ..text(3, 7)
        };
        let prefix = text(3, 7).prefix.map(|prefix| Prefix { head: 9, ..prefix });
        let marked = Request {
            prefix,
            ..text(3, 7)
        };
        assert_eq!((key(&turns, &named), key(&turns, &marked)), (None, None));
    }

    #[test]
    fn what_each_turn_begins_with_is_the_key_where_no_more_was_seen() {
        let opened = |opening| Request {
            prompt_tokens: Some(4_000),
            opening: Some(opening),
            ..Request::default()
        };
        let mut turns = TextTurns::default();
        turns.on_request(&opened(3), 0.0);
        turns.on_request(&opened(3), 0.0);
        let conversation = turns.conversation(&opened(3), Some(0.8)).unwrap();
        assert_eq!(conversation.history_tokens, 3_200, "seen before");
        assert_eq!(Some(conversation.key), key(&turns, &opened(3)));
        assert_ne!(Some(conversation.key), key(&turns, &opened(4)));
        let named = Request {
            conversation: Some(conversation),
            ..opened(3)
        };
        assert_eq!(key(&turns, &named), None);
        // The opening comes before the block that a text would be keyed by.
        let turns = after(10, 5, 1.0);
        let long = Request {
            opening: Some(3),
            ..text(3, 7)
        };
        assert_eq!(key(&turns, &long), key(&turns, &opened(3)));
        let mut once = TextTurns::default();
        (0..100).for_each(|number| once.on_request(&opened(number), 1.0));
        assert_eq!(key(&once, &opened(7)), None, "they never go on");
    }

    #[test]
    fn a_beginning_that_is_new_here_has_a_history_as_likely_as_it_is_a_later_turn() {
        // Conversations have three later turns in the mean, and this picker gets each request with
        // the chance `own_share`. Of the requests that are new here, how many are later turns?
        for own_share in [0.1, 0.5, 0.9] {
            let mut rng = crate::Rng::new(7);
            let (mut turns, mut chance) = (TextTurns::default(), 0.0);
            let (mut new, mut later, mut conversation) = (0.0, 0.0, 0);
            for _ in 0..40_000 {
                let is_later = rng.unit() < 0.75;
                conversation += u64::from(!is_later);
                if rng.unit() >= own_share {
                    continue;
                }
                let request = Request {
                    opening: Some(mix(conversation)),
                    ..Request::default()
                };
                turns.on_request(&request, own_share);
                if !turns.came_again {
                    new += 1.0;
                    later += f64::from(u8::from(is_later));
                    chance += turns.later_chance(turns.found / turns.evidence);
                }
            }
            let (chance, later) = (chance / new, later / new);
            assert!(
                (chance - later).abs() < 0.05,
                "{own_share}: {chance:.2}, in fact {later:.2}"
            );
        }
    }

    #[test]
    fn an_adapter_has_conversations_of_its_own() {
        let turns = after(10, 5, 1.0);
        let adapter = Some(crate::Adapter {
            key: 5,
            index: None,
        });
        let other = Request {
            adapter,
            ..text(3, 7)
        };
        assert_ne!(key(&turns, &other), key(&turns, &text(3, 7)));
    }
}
