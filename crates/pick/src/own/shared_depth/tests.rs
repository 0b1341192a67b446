use super::*;

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// A prompt with this beginning. It shares `shared` blocks with all such prompts, and has `own`
/// more.
fn prompt(key: u64, shared: usize, own: usize, salt: u32) -> Request {
    let block = |at: usize| match at {
        _ if at < shared => at as u32 + 1,
        _ if at < shared + own => at as u32 + 1_000 * salt,
        _ => 0,
    };
    Request {
        prompt_tokens: Some(6_000),
        prefix: Some(Prefix {
            key,
            tokens: 256,
            head: 0,
            blocks: core::array::from_fn(block),
        }),
        ..Request::default()
    }
}

fn shared_with(depths: &SharedDepths, request: &Request, cached_share: f32) -> u32 {
    let judged = depths.judge(request, Some(cached_share), |_| false);
    judged.prefix.unwrap().tokens
}

fn shared(depths: &SharedDepths, request: &Request) -> u32 {
    shared_with(depths, request, 0.0)
}

#[test]
fn what_two_prompts_share_is_expected_of_the_third() {
    let mut depths = SharedDepths::default();
    let asked = |salt| prompt(7, 5, 2, salt);
    depths.on_request(&asked(1), 1.0);
    assert_eq!(shared(&depths, &asked(2)), 0, "nobody has shared more yet");
    depths.on_request(&asked(2), 1.0);
    // They are equal up to 2,048 tokens, and differ before 3,072.
    assert_eq!(shared(&depths, &asked(3)), 2_560);
    assert_eq!(shared_with(&depths, &asked(3), 0.9), 2_560);
    let short = Request {
        prompt_tokens: Some(1_500),
        ..asked(3)
    };
    assert_eq!(shared(&depths, &short), 1_500, "not more than it has");
}

#[test]
fn of_a_beginning_that_is_new_here_the_others_may_have_cached_what_they_have_of_all() {
    let mut depths = SharedDepths::default();
    assert_eq!(shared_with(&depths, &prompt(8, 5, 2, 1), 0.6), 3_600);
    // Nothing comes twice, so this one does not count as shared.
    for number in 1..3_000 {
        let request = prompt(u64::from(number) << 40 | u64::from(number), 0, 7, number);
        depths.on_request(&request, 1.0);
    }
    assert!(shared_with(&depths, &prompt(8, 5, 2, 1), 0.6) < 10);
    for wrong in [f32::NAN, f32::NEG_INFINITY] {
        assert_eq!(shared_with(&depths, &prompt(8, 5, 2, 1), wrong), 0);
    }
    let whole = shared_with(&SharedDepths::default(), &prompt(8, 5, 2, 1), f32::INFINITY);
    assert_eq!(whole, 6_000);
}

#[test]
fn several_ways_to_go_on_are_a_mean_and_a_short_prompt_hides_nothing() {
    let mut depths = SharedDepths::default();
    for salt in 1..40 {
        depths.on_request(&prompt(7, 5, 2, salt), 1.0);
        // The prompt ends within the shared part.
        depths.on_request(&prompt(7, 2, 0, 0), 1.0);
    }
    assert_eq!(shared(&depths, &prompt(7, 5, 2, 99)), 2_560);
    for salt in 1..40 {
        depths.on_request(&prompt(7, 1, 6, salt), 1.0);
    }
    assert!((640..650).contains(&shared(&depths, &prompt(7, 5, 2, 99))));
}

#[test]
fn a_later_turn_and_a_prompt_whose_shared_part_is_known_say_nothing() {
    let mut depths = SharedDepths::default();
    let later = Request {
        conversation: Some(Conversation {
            is_named: false,
            is_cut: false,
            key: 1,
            history_tokens: 900,
        }),
        ..prompt(7, 6, 0, 0)
    };
    let marked = Request {
        prefix: Some(Prefix {
            key: 7,
            tokens: 3_000,
            ..Prefix::default()
        }),
        ..Request::default()
    };
    for request in [later, later, marked, marked] {
        depths.on_request(&request, 1.0);
    }
    assert!(depths.slots.is_empty());
    assert_eq!(shared(&depths, &marked), 3_000);
}

/// A prompt with a marked part of 3,500 tokens.
fn marked(key: u64, request: Request) -> Request {
    let prefix = request.prefix.map(|prefix| Prefix {
        key,
        tokens: 3_500,
        head: prefix.key,
        ..prefix
    });
    Request { prefix, ..request }
}

fn by(depths: &SharedDepths, request: &Request) -> (u64, u32) {
    let judged = depths.judge(request, None, |_| false).prefix.unwrap();
    (judged.key, judged.tokens)
}

#[test]
fn a_marked_part_that_ends_with_something_of_its_own_goes_by_what_it_shares() {
    let mut depths = SharedDepths::default();
    for number in 1..9 {
        let request = marked(100 + u64::from(number), prompt(7, 6, 1, number));
        depths.on_request(&request, 1.0);
        let (key, tokens) = by(&depths, &request);
        assert_eq!(key, 7);
        // With the first one nobody knows yet.
        assert!(tokens == 3_500 || number == 1 && tokens > 2_500, "{tokens}");
    }
    // The second half of the marked part is its own.
    let mut depths = SharedDepths::default();
    for number in 1..99 {
        let request = marked(100 + u64::from(number), prompt(7, 2, 5, number));
        depths.on_request(&request, 1.0);
    }
    assert_eq!(by(&depths, &marked(999, prompt(7, 2, 5, 999))), (7, 768));
}

#[test]
fn marked_parts_that_begin_alike_and_come_again_go_by_themselves() {
    let mut depths = SharedDepths::default();
    for number in 0..60 {
        let which = number % 3;
        let request = marked(100 + u64::from(which), prompt(7, 1, 5, 50 + which));
        depths.on_request(&request, 1.0);
        if number > 0 {
            let expected = (100 + u64::from(which), 3_500);
            assert_eq!(by(&depths, &request), expected, "{number}");
        }
    }
}

#[test]
fn a_beginning_that_is_shared_is_not_forgotten_for_one_that_comes_once() {
    let mut depths = SharedDepths::default();
    for number in 1..200 {
        depths.on_request(&prompt(7, 4, 1, number), 1.0);
        depths.on_request(&prompt(7 + ((u64::from(number)) << 32), 0, 7, number), 1.0);
    }
    assert_eq!(shared(&depths, &prompt(7, 4, 1, 999)), 1_792);
    for number in 1..9 {
        depths.on_request(&prompt(7 + (1 << 50), 3, 1, number), 1.0);
    }
    assert!(shared(&depths, &prompt(7, 4, 1, 999)) < 256, "forgotten");
    assert_eq!(shared(&depths, &prompt(7 + (1 << 50), 3, 1, 99)), 1_280);
}

#[test]
fn turns_that_follow_each_other_do_not_hide_what_tells_conversations_apart() {
    let mut depths = SharedDepths::default();
    let turn = |conversation: u32, turn: u32| Request {
        prompt_tokens: Some(2_000 + 500 * turn),
        ..prompt(7, 2, 1 + turn as usize, 10 + conversation)
    };
    for conversation in 0..10 {
        (0..5).for_each(|nth| depths.on_request(&turn(conversation, nth), 1.0));
    }
    let key = |request: &Request| {
        let judged = depths.judge(request, Some(0.5), |_| false);
        judged.conversation.map(|conversation| conversation.key)
    };
    assert!(key(&turn(3, 1)).is_some());
    assert_eq!(key(&turn(3, 1)), key(&turn(3, 4)));
    assert_ne!(key(&turn(3, 1)), key(&turn(4, 1)));
}
