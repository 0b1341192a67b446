//! How much the reference picker remembers, and for how long.

use trimtab_baselines::Epp;
use trimtab_pick::{Conversation, Picker, Prefix, Request, Rng};

use crate::pool::{NOW, first, picker, pool, prompt, show};

const BLOCK: u32 = 16;
/// Blocks that are kept per endpoint, and the most of one prompt.
const KEPT: u32 = 31_250;
const LONGEST: u32 = 256;

fn shared(key: u64, blocks: u32) -> Request {
    Request {
        prefix: Some(Prefix {
            key,
            tokens: blocks * BLOCK,
            ..Prefix::default()
        }),
        ..prompt(blocks * BLOCK)
    }
}

fn turn(key: u64, history: u32, blocks: u32) -> Request {
    Request {
        conversation: Some(Conversation {
            is_named: false,
            is_cut: false,
            key,
            history_tokens: history * BLOCK,
        }),
        ..prompt(blocks * BLOCK)
    }
}

/// Returns whether the request goes to the endpoint at 1 of an idle pool whatever the seed. Then it
/// must be remembered there.
fn is_remembered(picker: &mut Picker<Epp>, request: &Request) -> bool {
    (0..40).all(|seed| first(&picker.choose(NOW, &mut Rng::new(seed), request)) == 1)
}

/// Sends prompts that nothing finds again, of `blocks` blocks in all.
fn fill(picker: &mut Picker<Epp>, mut blocks: u32) {
    let id = pool(2)[1].id;
    while blocks > 0 {
        let part = blocks.min(LONGEST);
        let _ = picker.on_sent(NOW, id, &prompt(part * BLOCK + BLOCK - 1).into());
        blocks -= part;
    }
}

#[test]
fn a_prompt_is_forgotten_when_more_than_31_250_blocks_came_after_its_last_use() {
    let remembered = shared(5, 100);
    for again in [false, true] {
        let mut picker = picker(Epp::new(false), &pool(4));
        let _ = picker.on_sent(NOW, pool(2)[1].id, &remembered.into());
        assert!(is_remembered(&mut picker, &remembered));
        fill(&mut picker, KEPT - 100);
        assert!(is_remembered(&mut picker, &remembered));
        if again {
            // A second use takes no more room, and makes it the newest.
            let _ = picker.on_sent(NOW, pool(2)[1].id, &remembered.into());
            fill(&mut picker, KEPT - 100);
            assert!(is_remembered(&mut picker, &remembered));
        }
        fill(&mut picker, 1);
        assert!(!is_remembered(&mut picker, &remembered));
    }
}

#[test]
fn what_is_shorter_than_a_block_or_behind_256_of_them_takes_no_room() {
    let remembered = shared(5, 100);
    let mut picker = picker(Epp::new(false), &pool(4));
    let _ = picker.on_sent(NOW, pool(2)[1].id, &remembered.into());
    fill(&mut picker, KEPT - 100 - LONGEST);
    let _ = picker.on_sent(NOW, pool(2)[1].id, &prompt(u32::MAX).into());
    (0..1_000).for_each(|_| drop(picker.on_sent(NOW, pool(2)[1].id, &prompt(BLOCK - 1).into())));
    assert!(is_remembered(&mut picker, &remembered));
    fill(&mut picker, 1);
    assert!(!is_remembered(&mut picker, &remembered));
}

#[test]
fn a_conversation_that_grows_takes_its_last_length_once() {
    let mut picker = picker(Epp::new(false), &pool(4));
    for blocks in 1..=100 {
        let _ = picker.on_sent(NOW, pool(2)[1].id, &turn(9, blocks - 1, blocks).into());
    }
    let next = turn(9, 100, 101);
    fill(&mut picker, KEPT - 100);
    assert!(is_remembered(&mut picker, &next));
    fill(&mut picker, 1);
    assert!(!is_remembered(&mut picker, &next));
}

#[test]
fn of_a_conversation_no_more_is_found_than_its_history() {
    let mut picker = picker(Epp::new(false), &pool(4));
    let _ = picker.on_sent(NOW, pool(2)[1].id, &turn(9, 0, 100).into());
    assert!(is_remembered(&mut picker, &turn(9, 1, 100)));
    assert!(!is_remembered(&mut picker, &turn(9, 0, 100)));
}

#[test]
fn an_endpoint_that_left_and_came_back_is_remembered_by_nobody() {
    let rows = pool(3);
    let mut picker = picker(Epp::new(false), &rows);
    for (row, key) in rows.iter().zip([4, 5, 6]) {
        let _ = picker.on_sent(NOW, row.id, &shared(key, 10).into());
    }
    let without = [rows[0].clone(), rows[2].clone()];
    show(&mut picker, &without, NOW);
    // The others keep their memory: 6 is found at the third endpoint, which is at index 1 here.
    assert!(is_remembered(&mut picker, &shared(6, 10)));
    show(&mut picker, &rows, NOW);
    assert!(!is_remembered(&mut picker, &shared(5, 10)));
}
