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
//! | this module's keys | 2.8 and 2.3 | 99 and 100 % |
//!
//! # Rejected
//!
//! - The newest complete block: it is another one with every turn or two.
//! - Own memory of where each turn went: each of a hundred pickers has a hundredth of the turns.
//! - A block chosen by what is known of each beginning: a hundred pickers do not agree about that.
//!   2.4 and 3.0 instead of 1.7 and 2.1 after 300 s at 70 % load. With ten pickers 1.8 and 1.8.

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
        let Some(came_again) = self.remember(request) else {
            return;
        };
        self.came_again = came_again;
        self.recurrence.add(came_again, own_share);
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
        // NaN becomes 0.
        let share = cached_share.filter(|share| *share > 0.0);
        let share = f64::from(share.unwrap_or(0.0)).min(1.0);
        let share = match request.opening {
            Some(_) => share * self.later_chance(),
            None => share,
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
    fn later_chance(&self) -> f64 {
        match self.came_again {
            true => 1.0,
            false => self.recurrence.chance_elsewhere(),
        }
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

    /// Remembers the key that a request has. Returns whether the key had been seen. `None`: the
    /// request has none.
    fn remember(&mut self, request: &Request) -> Option<bool> {
        if request.conversation.is_some() {
            return None;
        }
        if let Some(opening) = request.opening {
            return Some(self.seen.add(&Key::last(mix(opening))));
        }
        let mut keys = self.keys(request);
        keys.find_map(|key| {
            let again = self.seen.add(&key);
            (!self.seen.is_shared(key.key)).then_some(again)
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
mod tests {
    use alloc::vec::Vec;

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
    fn a_key_that_several_conversations_have_gives_way_to_the_next_block() {
        // One system prompt reaches into the block that tells others apart.
        let long = |conversation: u32| {
            let mut request = text(3, 3);
            let prefix = request.prefix.as_mut().unwrap();
            prefix.blocks[3] = (100 + conversation) << 16;
            request
        };
        let mut turns = after(10, 5, 1.0);
        assert_eq!(key(&turns, &long(1)), key(&turns, &long(2)));
        for conversation in [1, 2] {
            (0..2).for_each(|_| turns.on_request(&long(conversation), 1.0));
        }
        let shared: Vec<_> = (1..4)
            .map(|conversation| key(&turns, &long(conversation)))
            .collect();
        assert!(shared.iter().all(Option::is_some));
        assert_ne!(shared[0], shared[1]);
        assert_ne!(shared[1], shared[2]);
        assert_eq!(key(&turns, &text(3, 3)), None, "it may be any of them");
        assert_eq!(
            key(&turns, &text(4, 3)),
            key(&turns, &text(4, 7)),
            "others keep theirs"
        );
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
    fn an_opening_that_is_new_here_has_a_history_as_likely_as_it_is_a_later_turn() {
        let opened = |opening| Request {
            prompt_tokens: Some(4_000),
            opening: Some(opening),
            ..Request::default()
        };
        let mut turns = TextTurns::default();
        turns.on_request(&opened(3), 0.1);
        let history = |turns: &TextTurns, opening| {
            let conversation = turns.conversation(&opened(opening), Some(0.5));
            f64::from(conversation.unwrap().history_tokens)
        };
        let expected = 2_000.0 * turns.recurrence.chance_elsewhere();
        assert!((history(&turns, 3) - expected).abs() <= 1.0);
        turns.on_request(&opened(3), 0.1);
        assert_eq!(history(&turns, 3), 2_000.0);
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
