//! P0 against its formula, written a second time without any of its parts.

use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::Reason;
use crate::own::ledger::Ledger;
use crate::rng::mix;
use crate::{
    Adapter, Conversation, EndpointId, EndpointLoad, Millis, Picker, PoolFacts, Prefix, State,
};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: Millis = Millis(10_000);
const FACTS: PoolFacts = PoolFacts {
    arrival_rate: None,
    prompt_tokens: None,
    output_tokens: None,
    uncached_tokens: Some(700.0),
    cached_share: Some(0.5),
    adapter_load_s: Some(0.2),
    kept_s: None,
    reported: false,
    alone: false,
};

fn below(rng: &mut Rng, bound: u64) -> u64 {
    rng.next_u64() % bound
}

fn pool(rng: &mut Rng, size: u64) -> Vec<EndpointLoad> {
    let row = |number| EndpointLoad {
        id: EndpointId(mix(number + 1)),
        state: State::Ready,
        wait_s: Some(rng.unit() as f32),
        waiting: None,
        running: None,
        kv_used: None,
        prefill_tokens_per_s: Some(5_000.0 + 5_000.0 * below(rng, 4) as f32),
        decode_s_per_sequence: Some(0.01),
        speed: Some(1.0),
        adapters: Some((0..6).filter(|_| below(rng, 3) == 0).collect()),
        adapter_room: None,
        age_ms: 0,
        ..EndpointLoad::default()
    };
    (0..size).map(row).collect()
}

fn request(rng: &mut Rng) -> Request {
    let prompt = 100 + below(rng, 4_000) as u32;
    let key = rng.next_u64();
    let some = |rng: &mut Rng| below(rng, 2) == 0;
    Request {
        held: None,
        prompt_tokens: Some(prompt),
        prefix: some(rng).then_some(Prefix {
            key,
            tokens: prompt / 2,
            ..Prefix::default()
        }),
        conversation: some(rng).then_some(Conversation {
            is_named: false,
            key: !key,
            history_tokens: prompt / 3 * 2,
        }),
        adapter: some(rng).then_some(Adapter {
            key: key << 9,
            index: Some((key % 6) as u16),
        }),
        streams: Some(some(rng)),
        opening: None,
    }
}

/// One endpoint by the formula of P0 (docs/algorithm.md#p0): which keys name it, and its cost.
#[derive(Debug, PartialEq)]
struct Naive {
    conversation: bool,
    prefix: bool,
    adapter: bool,
    start_s: f64,
    cost_s: f64,
}

/// An own request without keys whose first byte has not come.
struct Sent {
    to: u32,
    tokens: u32,
    streams: bool,
    /// The table has seen it.
    seen: bool,
}

fn naive(index: u32, snapshot: &Snapshot, sent: &[Sent], request: &Request) -> Naive {
    let row = &snapshot.endpoints()[index as usize];
    let s_per_token = 1.0 / f64::from(row.prefill_tokens_per_s.unwrap());
    let is = |key, rank| snapshot.rank(key, rank) == Some(index);
    // The best (tokens kept, tokens found, penalty) of the keys that name this endpoint.
    let mut found = vec![(0.0, 0.0, 0.0)];
    let conversation = request.conversation.filter(|of| is(of.key, 0));
    found.extend(conversation.map(|of| (of.history_tokens.into(), of.history_tokens.into(), 0.0)));
    let mut prefix = false;
    if let Some(of) = request.prefix {
        let key = of.key ^ request.adapter.map_or(0, |adapter| mix(adapter.key));
        for rank in (0..2).filter(|rank| is(key, *rank)) {
            let (tokens, penalty) = (f64::from(of.tokens), 0.3 * f64::from(rank * of.tokens));
            found.push((tokens - penalty, tokens, penalty));
            prefix = true;
        }
    }
    let best = found
        .into_iter()
        .reduce(|a, b| if b.0 > a.0 { b } else { a });
    let (_, hit, penalty) = best.unwrap();
    let adapter_rank = request
        .adapter
        .and_then(|of| (0..2).find(|rank| is(of.key, *rank)));
    let (mut unseen_s, mut pending_s) = (0.0, 0.0);
    for own in sent.iter().filter(|own| own.to == index) {
        let prefill_s = f64::from(own.tokens) * s_per_token;
        unseen_s += if own.seen { 0.0 } else { prefill_s + 0.01 };
        pending_s += if own.streams { prefill_s } else { 0.0 };
    }
    let start_s = (f64::from(row.wait_s.unwrap()) + unseen_s).max(pending_s);
    let uncached = (f64::from(request.prompt_tokens.unwrap()) - hit).max(0.0);
    Naive {
        conversation: conversation.is_some(),
        prefix,
        adapter: adapter_rank.is_some(),
        start_s,
        cost_s: start_s
            + (5.0 * uncached + penalty) * s_per_token
            + adapter_s(row, request, adapter_rank),
    }
}

/// One load of 0.2 s at the first rank, 0.3 of a load more at the second, five loads elsewhere.
fn adapter_s(row: &EndpointLoad, request: &Request, rank: Option<u32>) -> f64 {
    let resident = row.adapters.as_deref().unwrap();
    match (request.adapter, rank) {
        (None, _) => 0.0,
        (Some(of), _) if resident.contains(&of.index.unwrap()) => 0.0,
        (_, Some(rank)) => [0.2, 0.26][rank as usize],
        (_, None) => 1.0,
    }
}

fn expected_reason(best: &Naive, all: &[Naive]) -> Reason {
    match best {
        _ if all.len() == 1 => Reason::Single,
        Naive {
            conversation: true, ..
        } => Reason::Conversation,
        Naive { prefix: true, .. } => Reason::Prefix,
        Naive { adapter: true, .. } => Reason::Adapter,
        _ if all.iter().any(|one| one.conversation || one.prefix) => Reason::Spill,
        _ => Reason::Load,
    }
}

/// The books keep microseconds.
fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-4
}

#[test]
fn the_choice_is_the_cheapest_by_the_formula_of_keys_and_draws() {
    let mut script = Rng::new(11);
    let mut in_full = 0;
    for run in 0..1_000 {
        let size = 1 + below(&mut script, 8);
        let snapshot = Rc::new(Snapshot::new(pool(&mut script, size), FACTS, NOW));
        let mut picker = Picker::with_policy(P0::new(Config::default()));
        picker.on_table(Rc::clone(&snapshot), None);
        // Half of them were sent before the table, which has seen them. No first byte has come.
        let mut sent = Vec::new();
        for _ in 0..below(&mut script, 6) {
            let own = Sent {
                to: below(&mut script, size) as u32,
                tokens: below(&mut script, 20_000) as u32,
                streams: below(&mut script, 2) == 0,
                seen: sent.len() % 2 == 0,
            };
            let plain = Request {
                prompt_tokens: Some(own.tokens),
                streams: Some(own.streams),
                ..Request::default()
            };
            let at = Millis(NOW.0 - u64::from(own.seen));
            let _ = picker.on_sent(at, snapshot.endpoints()[own.to as usize].id, &plain.into());
            sent.push(own);
        }
        picker.on_table(Rc::clone(&snapshot), None);
        let request = request(&mut script);
        let all: Vec<Naive> = (0..size as u32)
            .map(|index| naive(index, &snapshot, &sent, &request))
            .collect();
        let decision = picker.choose(NOW, &mut Rng::new(run), &request);
        let best = &all[decision.choices.as_slice()[0] as usize];
        let of_keys = |one: &&Naive| one.conversation || one.prefix || one.adapter;
        let keyed = all.iter().filter(of_keys).count();
        assert_eq!(decision.candidates as usize, all.len().min(keyed + 2));
        let weighed_in_full = keyed + 2 >= all.len();
        in_full += u32::from(weighed_in_full);
        for other in all.iter().filter(|one| weighed_in_full || of_keys(one)) {
            assert!(best.cost_s <= other.cost_s + 1e-4, "{best:?} {other:?}");
        }
        assert_eq!(decision.reason, expected_reason(best, &all), "{all:?}");
        assert!(
            decision
                .wait_s
                .is_some_and(|wait_s| close(wait_s, best.start_s))
        );
    }
    assert!((500..970).contains(&in_full), "{in_full}");
}

#[test]
fn without_keys_it_is_the_quieter_of_two_different_draws() {
    let mut rows = pool(&mut Rng::new(1), 4);
    for (row, wait_s) in rows.iter_mut().zip([0.2, 20.0, 0.0, 1.0]) {
        row.wait_s = Some(wait_s);
        row.prefill_tokens_per_s = Some(10_000.0);
    }
    let mut picker = Picker::with_policy(P0::new(Config::default()));
    picker.on_table(Rc::new(Snapshot::new(rows, FACTS, NOW)), None);
    let mut counts = [0.0_f64; 4];
    let mut rng = Rng::new(2);
    for _ in 0..20_000 {
        let decision = picker.choose(NOW, &mut rng, &Request::default());
        counts[decision.choices.as_slice()[0] as usize] += 1.0 / 20_000.0;
    }
    // The quietest wins the 3 of the 6 pairs that it is in, and so on.
    for (share, expected) in counts.iter().zip([2.0, 0.0, 3.0, 1.0]) {
        assert!((share - expected / 6.0).abs() < 0.015, "{counts:?}");
    }
}

#[test]
fn with_an_old_table_it_is_the_fallback() {
    let mut script = Rng::new(3);
    let snapshot = Snapshot::new(pool(&mut script, 12), FACTS, NOW);
    let inflight = Ledger::default();
    for (age_ms, stale) in [(2_000, false), (2_001, true)] {
        for seed in 0..200 {
            let request = request(&mut script);
            let view = View {
                slow: &[],
                now: Millis(NOW.0 + age_ms),
                snapshot: &snapshot,
                inflight: &inflight,
            };
            let found =
                P0::new(Config::default()).choose(&view, &mut Rng::new(seed), &request.into());
            let fallback = fallback::choose(&request, &snapshot, &inflight, &mut Rng::new(seed));
            assert_eq!(found == fallback, stale, "{age_ms} ms: {found:?}");
        }
    }
}
