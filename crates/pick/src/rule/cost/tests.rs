use alloc::vec;

use super::*;
use crate::golden::idle;
use crate::table::row::Room;
use crate::{Conversation, Prefix};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// 10,000 tokens per second, 20 ms per sequence.
fn row() -> Row {
    Row {
        wait_s: 0.4,
        wait_known: true,
        crowd_s: 0.0,
        found_share: 1.0,
        room: Room::ENDLESS,
        is_member: true,
        prefill_s_per_token: 1e-4,
        decode_s: 0.02,
        speed: 1.0,
    }
}

fn demand(request: &Request, uncached_tokens: Option<f32>) -> Demand {
    Demand::new(
        request,
        &PoolFacts {
            uncached_tokens,
            ..PoolFacts::default()
        },
    )
}

fn close(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 1e-12,
        "{found} is not {expected}"
    );
}

#[test]
fn a_miss_costs_its_prefill_and_a_hit_nothing() {
    let demand = demand(
        &Request {
            prompt_tokens: Some(3_000),
            ..Request::default()
        },
        None,
    );
    close(miss_s(&row(), &demand, 0), 0.3);
    close(miss_s(&row(), &demand, 1_000), 0.2);
    close(miss_s(&row(), &demand, 3_000), 0.0);
    // A hit estimate above the prompt gives no bonus.
    close(miss_s(&row(), &demand, 9_000), 0.0);
}

#[test]
fn what_another_endpoint_has_in_its_cache_costs_more_to_prefill_again() {
    let shared = Request {
        prompt_tokens: Some(3_000),
        prefix: Some(Prefix {
            key: 1,
            tokens: 2_000,
            ..Prefix::default()
        }),
        ..Request::default()
    };
    let demand = demand(&shared, None);
    close(loss_s(&row(), &demand, 0, 4.0), 0.8);
    close(loss_s(&row(), &demand, 1_000, 4.0), 0.4);
    close(loss_s(&row(), &demand, 2_000, 4.0), 0.0);
    close(loss_s(&row(), &demand, 3_000, 4.0), 0.0);
}

#[test]
fn who_finds_no_room_waits_for_ends_and_own_unseen_requests_take_their_place_first() {
    // 1,000 tokens are free, and 500 more per second become free. One slot is free, and another
    // in two seconds.
    let full = Row {
        room: Room {
            tokens: 1_000.0,
            tokens_per_s: 500.0,
            slots: 1.0,
            ends_per_s: 0.5,
        },
        ..row()
    };
    close(room_s(&full, 1_000.0, (0.0, 0.0)), 0.0);
    close(room_s(&full, 1_500.0, (0.0, 0.0)), 1.0);
    close(room_s(&full, 1_000.0, (0.0, 250.0)), 0.5);
    close(room_s(&full, 100.0, (1.0, 100.0)), 2.0);
    close(room_s(&full, 1e9, (0.0, 0.0)), MOST_ROOM_S);
    close(room_s(&row(), 1e9, (1e3, 1e9)), 0.0);
}

#[test]
fn work_is_prefill_and_one_more_sequence() {
    close(work_s(&row(), 3_000.0), 0.32);
    close(rank_penalty_s(&row(), 300.0), 0.03);
}

#[test]
fn others_fill_what_lies_under_the_surface_and_only_their_share_counts() {
    close(level_s(&row(), 0.5, 1.0), 0.1);
    close(level_s(&row(), 0.5, 0.25), 0.025);
    close(level_s(&row(), 0.3, 1.0), 0.0);
    close(level_s(&row(), 0.5, 0.0), 0.0);
}

#[test]
fn noise_is_half_a_request_with_many_unseen_and_none_with_none() {
    close(noise_s(0.3, 1e12, 1.0), 0.15);
    close(noise_s(0.3, 4.0, 1.0), 0.075);
    close(noise_s(0.3, 0.0, 1.0), 0.0);
    close(noise_s(0.3, 1e12, 0.0), 0.0);
}

#[test]
fn leaving_home_costs_what_the_next_turn_will_miss() {
    let demand = demand(
        &Request {
            prompt_tokens: Some(3_000),
            ..Request::default()
        },
        None,
    );
    close(stay_s(&row(), &demand, 2_000, 0.8), 0.08);
    close(stay_s(&row(), &demand, 2_000, 0.0), 0.0);
}

#[test]
fn an_unknown_prompt_is_what_is_known_of_it_and_the_pools_mean() {
    let prefix = Some(Prefix {
        key: 1,
        tokens: 500,
        ..Prefix::default()
    });
    let conversation = Some(Conversation {
        is_named: false,
        is_cut: false,
        key: 2,
        history_tokens: 2_000,
    });
    let request = Request {
        prefix,
        conversation,
        ..Request::default()
    };
    close(demand(&request, Some(300.0)).prompt_tokens, 2_300.0);
    // Without a mean it is the same one that what a request adds to a wait is computed from.
    close(demand(&Request::default(), None).prompt_tokens, 512.0);
    for wild in [f32::NAN, f32::INFINITY, -1.0] {
        close(demand(&request, Some(wild)).prompt_tokens, 2_512.0);
    }
    close(demand(&request, Some(0.0)).prompt_tokens, 2_000.0);
    close(demand(&request, Some(2e5)).prompt_tokens, 202_000.0);
}

#[test]
fn an_adapter_costs_nothing_where_it_is_one_load_at_home_and_nine_elsewhere() {
    let mut endpoint = EndpointLoad {
        adapters: Some(vec![1, 4]),
        ..idle(1)
    };
    let wanting = |index| {
        let adapter = Some(Adapter { key: 7, index });
        let pool = PoolFacts {
            adapter_load_s: Some(0.25),
            ..PoolFacts::default()
        };
        Demand::new(
            &Request {
                adapter,
                ..Request::default()
            },
            &pool,
        )
    };
    close(adapter_s(&endpoint, &wanting(Some(4)), None), 0.0);
    close(adapter_s(&endpoint, &wanting(Some(3)), Some(0)), 0.25);
    close(adapter_s(&endpoint, &wanting(Some(3)), Some(1)), 0.325);
    close(adapter_s(&endpoint, &wanting(Some(3)), None), 2.25);
    close(adapter_s(&endpoint, &wanting(None), None), 2.25);
    endpoint.adapter_room = Some(false);
    close(
        adapter_s(&endpoint, &wanting(Some(3)), Some(0)),
        0.25 + NO_ROOM_S,
    );
    close(adapter_s(&endpoint, &wanting(Some(4)), None), 0.0);
    endpoint.adapter_room = Some(true);
    endpoint.adapters = None;
    close(adapter_s(&endpoint, &wanting(Some(4)), None), 2.25);
    close(
        adapter_s(&endpoint, &demand(&Request::default(), None), None),
        0.0,
    );
}
