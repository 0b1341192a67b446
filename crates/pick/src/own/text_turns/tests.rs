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
    let conversation = turns.conversation(request, Some(0.8), |_| false);
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
}

#[test]
fn the_history_is_what_caches_show_or_what_later_turns_repeat_of_earlier_ones() {
    let history = |turns: &TextTurns, cached_share, is_told| {
        let conversation = turns.conversation(&text(3, 3), cached_share, |_| is_told);
        conversation.unwrap().history_tokens
    };
    let mut turns = after(10, 1, 0.01);
    assert_eq!(
        history(&turns, Some(0.8), false),
        3_200,
        "nothing came again"
    );
    for wrong in [None, Some(f32::NAN), Some(-1.0)] {
        assert_eq!(history(&turns, wrong, false), 0, "{wrong:?}");
    }
    // Each turn is a fifth longer than the one before.
    for number in 0..200 {
        let turn = |tokens| Request {
            prompt_tokens: Some(tokens),
            ..text(number + 10, 3)
        };
        turns.on_request(&turn(3_200), 0.01);
        turns.on_request(&turn(4_000), 0.01);
    }
    turns.on_request(&text(3_000, 3), 0.01);
    let told = history(&turns, Some(0.1), true);
    assert_eq!(
        told, 3_200,
        "pickers told where it went, so it is a later turn"
    );
    let untold = history(&turns, Some(0.1), false);
    let expected = 3_200.0 * turns.recurrence.chance_elsewhere();
    assert!((f64::from(untold) - expected).abs() < 2.0, "{untold}");
    (0..500).for_each(|_| turns.on_placed(false));
    assert_eq!(
        history(&turns, Some(0.1), false),
        400,
        "pickers would have told"
    );
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
    let conversation = turns
        .conversation(&opened(3), Some(0.8), |_| false)
        .unwrap();
    assert_eq!(conversation.history_tokens, 4_000, "seen before, as long");
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
    let opened = |tokens| Request {
        prompt_tokens: Some(tokens),
        opening: Some(3),
        ..Request::default()
    };
    let mut turns = TextTurns::default();
    let history = |turns: &TextTurns| {
        let conversation = turns.conversation(&opened(4_000), Some(0.5), |_| false);
        f64::from(conversation.unwrap().history_tokens)
    };
    turns.on_request(&opened(3_000), 0.1);
    let expected = 2_000.0 * turns.recurrence.chance_elsewhere();
    assert!((history(&turns) - expected).abs() <= 1.0);
    turns.on_request(&opened(4_000), 0.1);
    assert!(
        (2_980.0..=3_000.0).contains(&history(&turns)),
        "it repeats the first"
    );
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
