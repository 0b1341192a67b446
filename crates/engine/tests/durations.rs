//! Durations and metrics that can be computed by hand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use trimtab_engine::{Engine, Event, Profile, Request, StepPlan};

fn request(id: u64, prompt_tokens: u32, output_tokens: u32) -> Request {
    Request {
        id,
        prompt_tokens,
        output_tokens,
        chain: vec![],
        adapter: None,
    }
}

/// Block hashes of a prompt of `family`. Prompts of one family share all blocks.
fn chain(family: u64, blocks: u64) -> Vec<u64> {
    (0..blocks)
        .map(|b| (family << 32 | (b + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .collect()
}

fn h100() -> Profile {
    Profile::named("h100").unwrap()
}

/// Runs steps until the engine is idle. Panics after `limit` steps.
fn run(engine: &mut Engine, limit: usize) -> (Vec<StepPlan>, Vec<Event>) {
    let (mut plans, mut events) = (vec![], vec![]);
    while let Some(plan) = engine.begin_step(&mut events) {
        plans.push(plan);
        assert!(plans.len() <= limit, "still busy after {limit} steps");
        engine.finish_step(&mut events);
    }
    (plans, events)
}

fn assert_close(got: f64, wanted: f64) {
    assert!((got - wanted).abs() < 1e-12, "got {got}, wanted {wanted}");
}

#[test]
fn a_request_alone_takes_one_prefill_and_one_step_per_further_token() {
    let mut engine = Engine::new(h100()).unwrap();
    engine.submit(request(1, 1_000, 4)).unwrap();
    let (plans, _) = run(&mut engine, 10);
    let (base, token, context) = (6.5e-3, 42e-6, 42e-9);
    let mut wanted = vec![base + token * 1_000.0 * (1.0 + 500.0 / 32_000.0)];
    wanted.extend((0..3).map(|i| base + token + context * (1_000 + i) as f64));
    assert_eq!(plans.len(), wanted.len());
    for (plan, wanted) in plans.iter().zip(wanted) {
        assert_close(plan.duration_s, wanted);
    }
}

#[test]
fn a_prompt_longer_than_the_budget_is_prefilled_in_chunks_beside_the_decoders() {
    let mut engine = Engine::new(h100()).unwrap();
    engine.submit(request(1, 10, 100)).unwrap();
    let mut events = vec![];
    engine.begin_step(&mut events).unwrap();
    engine.finish_step(&mut events);
    engine.submit(request(2, 5_000, 1)).unwrap();
    let chunks: Vec<u32> = (0..3)
        .map(|_| {
            let plan = engine.begin_step(&mut events).unwrap();
            engine.finish_step(&mut events);
            assert_eq!(plan.decode_sequences, 1);
            plan.prefill_tokens
        })
        .collect();
    // The decoding sequence takes one token of the budget first.
    assert_eq!(chunks, [2_047, 2_047, 906]);
    assert_eq!(
        events.last(),
        Some(&Event::Token {
            id: 2,
            produced: 1,
            finished: true
        })
    );
}

#[test]
fn a_speed_factor_divides_every_duration() {
    let durations = |speed: f64| {
        let mut engine = Engine::new(Profile { speed, ..h100() }).unwrap();
        engine.submit(request(1, 3_000, 5)).unwrap();
        run(&mut engine, 10)
            .0
            .iter()
            .map(|p| p.duration_s)
            .sum::<f64>()
    };
    assert_close(durations(0.4), durations(1.0) * 2.5);
}

#[test]
fn a_prompt_seen_before_costs_only_its_last_block() {
    let mut engine = Engine::new(h100()).unwrap();
    let shared = |id| Request {
        chain: chain(9, 64),
        ..request(id, 1_024, 1)
    };
    engine.submit(shared(1)).unwrap();
    run(&mut engine, 2);
    engine.submit(shared(2)).unwrap();
    let (plans, events) = run(&mut engine, 2);
    assert_eq!(
        events[0],
        Event::Admitted {
            id: 2,
            cached_tokens: 1_008
        }
    );
    assert_eq!(plans[0].prefill_tokens, 16);
    let counters = engine.counters();
    assert_eq!(
        (counters.prefix_query_tokens, counters.prefix_hit_tokens),
        (2_048, 1_008)
    );
    assert_eq!(
        (counters.prompt_tokens, counters.computed_prefill_tokens),
        (2_048, 1_040)
    );
}

#[test]
fn the_answer_is_cached_for_the_next_turn_except_its_last_token() {
    let mut engine = Engine::new(h100()).unwrap();
    // 32 prompt tokens and 33 of the answer. The KV of the 65th token is never computed, so four
    // blocks are full.
    engine
        .submit(Request {
            chain: chain(3, 5),
            ..request(1, 32, 33)
        })
        .unwrap();
    run(&mut engine, 40);
    engine
        .submit(Request {
            chain: chain(3, 8),
            ..request(2, 128, 1)
        })
        .unwrap();
    let (_, events) = run(&mut engine, 2);
    assert_eq!(
        events[0],
        Event::Admitted {
            id: 2,
            cached_tokens: 64
        }
    );
}

#[test]
fn an_adapter_that_is_not_resident_holds_up_the_step_that_needs_it() {
    let mut engine = Engine::new(Profile {
        adapter_slots: 1,
        ..h100()
    })
    .unwrap();
    let with = |id, adapter| Request {
        adapter: Some(adapter),
        ..request(id, 16, 1)
    };
    let first_step_s = |engine: &mut Engine, request| {
        engine.submit(request).unwrap();
        run(engine, 1).0[0].duration_s
    };
    let cold = first_step_s(&mut engine, with(1, 5));
    let warm = first_step_s(&mut engine, with(2, 5));
    let evicting = first_step_s(&mut engine, with(3, 6));
    let evicted = first_step_s(&mut engine, with(4, 5));
    assert_close(cold - warm, 0.15);
    assert_close(evicting, cold);
    assert_close(evicted, cold);
    assert_eq!(engine.counters().adapter_loads, 3);
}

#[test]
fn a_request_whose_adapter_has_no_slot_is_passed_over_but_not_for_ever() {
    let limit = 4;
    let mut engine = Engine::new(Profile {
        adapter_slots: 1,
        max_num_seqs: limit,
        ..h100()
    })
    .unwrap();
    let with = |id, adapter| Request {
        adapter: Some(adapter),
        ..request(id, 16, 3)
    };
    engine.submit(with(0, 1)).unwrap();
    engine.submit(with(1, 2)).unwrap();
    let (mut next, mut events) = (2, vec![]);
    // Each step gets a request for the resident adapter. Without a limit these would keep it in
    // use.
    let served = (0..200).find(|_| {
        engine.submit(with(next, 1)).unwrap();
        next += 1;
        engine.begin_step(&mut events).unwrap();
        engine.finish_step(&mut events);
        events
            .iter()
            .any(|e| matches!(e, Event::Admitted { id: 1, .. }))
    });
    assert!(served.is_some(), "adapter 2 starved");
    let before = events
        .iter()
        .take_while(|e| !matches!(e, Event::Admitted { id: 1, .. }));
    let overtook = before
        .filter(|e| matches!(e, Event::Admitted { id, .. } if *id > 1))
        .count();
    assert_eq!(overtook, limit as usize);
}

#[test]
fn the_youngest_is_preempted_when_memory_runs_out_and_still_finishes() {
    // Eight blocks. Two requests of 3 blocks each are admitted, and each needs 5 in the end.
    let profile = Profile {
        kv_blocks: 8,
        watermark_ratio: 0.0,
        ..h100()
    };
    let mut engine = Engine::new(profile).unwrap();
    engine.submit(request(1, 48, 32)).unwrap();
    engine.submit(request(2, 48, 32)).unwrap();
    let (_, events) = run(&mut engine, 200);
    let preempted: Vec<_> = events
        .iter()
        .filter(|e| matches!(e, Event::Preempted { .. }))
        .collect();
    assert_eq!(preempted, [&Event::Preempted { id: 2 }]);
    let tokens = |wanted| {
        events
            .iter()
            .filter(|e| matches!(e, Event::Token { id, .. } if *id == wanted))
            .count()
    };
    assert_eq!((tokens(1), tokens(2)), (32, 32));
    assert_eq!(engine.gauges().kv_blocks_used, 0);
}

#[test]
fn what_can_never_run_is_refused_with_the_numbers() {
    let mut engine = Engine::new(Profile {
        kv_blocks: 4,
        adapter_slots: 0,
        ..h100()
    })
    .unwrap();
    let refused = |engine: &mut Engine, request| engine.submit(request).unwrap_err().to_string();
    assert!(
        refused(&mut engine, request(1, 60, 5)).contains("needs 5 KV blocks and the server has 4")
    );
    assert!(refused(&mut engine, request(1, 0, 5)).contains("at least one prompt token"));
    let adapter = Request {
        adapter: Some(1),
        ..request(1, 8, 1)
    };
    assert!(refused(&mut engine, adapter).contains("adapter_slots"));
    engine.submit(request(1, 60, 4)).unwrap();
    assert!(refused(&mut engine, request(1, 1, 1)).contains("id 1 is still in use"));
}

#[test]
fn a_profile_out_of_range_is_refused_by_field() {
    for (profile, field) in [
        (
            Profile {
                speed: 0.0,
                ..h100()
            },
            "speed",
        ),
        (
            Profile {
                step_base_s: f64::NAN,
                ..h100()
            },
            "step_base_s",
        ),
        (
            Profile {
                max_batched_tokens: 8,
                ..h100()
            },
            "max_batched_tokens",
        ),
        (
            Profile {
                kv_blocks: 0,
                ..h100()
            },
            "kv_blocks",
        ),
    ] {
        assert_eq!(Engine::new(profile).unwrap_err().field, field);
    }
    for name in Profile::names() {
        Engine::new(Profile::named(name).unwrap()).unwrap();
    }
}
