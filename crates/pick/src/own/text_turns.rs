//! Which prompts that come as one text are turns of a conversation, where nothing says so: completion APIs have no messages, and a client that
//! keeps its history itself sends all of it again, a little longer. Such turns have the digest of some block in common that other prompts with
//! the same beginning do not have: the first one behind what all of them share. Its digest is the key of the conversation, the same for all
//! deciders without a word between them. Prompts of which no more was seen than what each turn begins with ([`Request::opening`]) have their key from
//! that; whether they go on is found out in the same way.
//!
//! In simulation agents and chats that share system prompts, sent as texts, went by their first tokens alone: 4.6 and 4.1 times the oracle's p99
//! with 46 and 82 % in SLO; by these keys 2.2 and 2.2 with 99 and 100 %. Rejected: the newest block that is complete, which is another one with
//! every turn or two; own memory of who was sent where, which a hundred deciders have of a hundredth of the turns; the block by what is known
//! of each beginning, about which a hundred deciders do not agree (2.4 and 3.0 for 1.7 and 2.1 after 300 s at 70 % load; with ten deciders 1.8 and 1.8).

use alloc::vec;
use alloc::vec::Vec;

use crate::request::BLOCKS;
use crate::rng::mix;
use crate::rule::candidates::prefix_key;
use crate::{Conversation, Request};

/// Comparisons over which the share of equal digests is taken.
const COMPARISONS: f64 = 50.0;
/// A block that more of the prompts with the same beginning have in common tells no conversations apart. With 0.35 it may be one that half of
/// the system prompts reach into, and each of these prompts becomes a place where all who use it meet.
const MOST_IN_COMMON: f64 = 0.2;

/// Keys remembered, a power of two. 32 KiB, from the first key on.
const SEEN: usize = 16_384;
/// Earlier turns that a prompt is taken to have as long as nothing is known, and how much evidence that is worth.
const EXPECTED_TURNS: f64 = 2.0;
const EXPECTATION: f64 = 1.0;
/// With fewer earlier turns per prompt, texts do not go on: they are long and their own, and belong wherever the queue is short. A decider that gets
/// all requests finds a key once however many turns there were, if it has not been forgotten meanwhile.
const FEWEST_TURNS: f64 = 0.25;
/// Evidence at which the older half is forgotten.
const MOST_EVIDENCE: f64 = 20.0;

/// What is known of prompts that come as one text.
#[derive(Debug, Default)]
pub(crate) struct TextTurns {
    /// By block: of the prompts whose beginning had been seen, the share of those that had it in common with the one before.
    in_common: [Share; BLOCKS],
    /// The newest keys by slot.
    seen: Vec<u16>,
    /// Prompts whose key had been seen here.
    found: f64,
    /// How many would have been if each had one earlier turn, by the share of the pool's requests that come here.
    evidence: f64,
}

/// A share, of which nothing is known at first.
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
    /// The digests of two prompts with the same first tokens, the newer one last.
    pub(crate) fn on_compared(&mut self, before: &[u32; BLOCKS], blocks: &[u32; BLOCKS]) {
        let pairs = before.iter().zip(blocks);
        for (share, (a, b)) in self.in_common.iter_mut().zip(pairs) {
            if *a != 0 && *b != 0 {
                share.add(a == b);
            }
        }
    }

    /// A request is to be decided on. `own_share`: the part of the pool's requests that this decider gets, 0 to 1.
    pub(crate) fn on_request(&mut self, request: &Request, own_share: f64) {
        let Some(key) = self.key(request) else {
            return;
        };
        if self.seen.is_empty() {
            self.seen = vec![0; SEEN];
        }
        if let Some(slot) = self.seen.get_mut(key as usize & (SEEN - 1)) {
            let tag = (key >> 48) as u16;
            self.found += f64::from(u8::from(*slot == tag));
            *slot = tag;
        }
        self.evidence += own_share;
        if self.evidence > MOST_EVIDENCE {
            self.found *= 0.5;
            self.evidence *= 0.5;
        }
    }

    /// The conversation that a text belongs to; absent: it may belong to none, or the request names one itself. `cached_share`: of the pool's
    /// mean prompt; absent: unknown.
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
        let tokens = f64::from(request.prompt_tokens.unwrap_or(0));
        (turns >= FEWEST_TURNS).then_some(Conversation {
            is_named: false,
            key,
            // `as` saturates, and the value is not negative.
            history_tokens: (share * tokens) as u32,
        })
    }

    /// The key that all turns of a text's conversation have, but for those that are too short.
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

    /// A text of so many blocks, the first two of which all have.
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

    /// What a decider knows after so many texts, each of which is the only one of its conversation or one of `turns`.
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
        // One decider of a hundred has to see more of them.
        assert!(key(&after(100, 1, 0.01), &text(3, 7)).is_some());
        assert_eq!(key(&after(800, 1, 0.01), &text(3, 7)), None);
    }

    #[test]
    fn what_names_its_conversation_or_marks_its_beginning_keeps_that() {
        let turns = after(10, 5, 1.0);
        let named = Request {
            conversation: Some(Conversation {
                is_named: false,
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
        let turns = TextTurns::default();
        let conversation = turns.conversation(&opened(3), Some(0.8)).unwrap();
        assert_eq!(conversation.history_tokens, 3_200);
        assert_eq!(Some(conversation.key), key(&turns, &opened(3)));
        assert_ne!(Some(conversation.key), key(&turns, &opened(4)));
        let named = Request {
            conversation: Some(conversation),
            ..opened(3)
        };
        assert_eq!(key(&turns, &named), None);
        // Of its own it is, beside a beginning that a text would go by.
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
