//! A decision allocates nothing. The proxy makes one for every request.

use std::rc::Rc;

use trimtab_pick::{
    Adapter, BLOCKS, Config, Conversation, EndpointId, EndpointLoad, Millis, Outcome, Picker,
    PoolFacts, Prefix, Request, Rng, Snapshot, State,
};

fn snapshot(endpoints: u64) -> Rc<Snapshot> {
    let row = |number: u64| EndpointLoad {
        id: EndpointId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        state: State::Ready,
        wait_s: Some((number % 7) as f32 / 10.0),
        waiting: None,
        running: None,
        kv_used: None,
        prefill_tokens_per_s: Some(10_000.0),
        decode_s_per_sequence: Some(0.01),
        speed: Some(1.0),
        adapters: Some(vec![(number % 4) as u16]),
        adapter_room: None,
        age_ms: 0,
        ..EndpointLoad::default()
    };
    Rc::new(Snapshot::new(
        (0..endpoints).map(row).collect(),
        PoolFacts::default(),
        Millis(0),
    ))
}

#[test]
fn choosing_allocates_nothing_with_a_fresh_a_stale_and_no_table() {
    let request = |key| Request {
        held: None,
        client: 0,
        prompt_tokens: Some(3_000),
        opening: None,
        streams: Some(true),
        prefix: Some(Prefix {
            key,
            tokens: 1_000,
            head: 7,
            blocks: [7; BLOCKS],
        }),
        conversation: Some(Conversation {
            is_named: false,
            is_cut: false,
            key: !key,
            history_tokens: 2_000,
        }),
        adapter: Some(Adapter {
            key: key << 9,
            index: Some(2),
        }),
    };
    let mut picker = Picker::new(Config::default());
    let mut rng = Rng::new(1);
    for endpoints in [None, Some(1), Some(100), Some(5_000)] {
        if let Some(endpoints) = endpoints {
            picker.on_table(snapshot(endpoints), None);
        }
        let counted = allocation_counter::measure(|| {
            for key in 0..2_000 {
                for now in [Millis(0), Millis(1_000_000)] {
                    let _ = picker.choose(now, &mut rng, &request(key));
                    let _ = picker.choose(now, &mut rng, &Request::default());
                }
            }
        });
        assert_eq!(counted.count_total, 0, "{endpoints:?} endpoints");
    }
}

#[test]
fn sending_and_ending_allocate_nothing_after_warm_up() {
    let mut picker = Picker::new(Config::default());
    picker.on_table(snapshot(100), None);
    let ids: Vec<EndpointId> = snapshot(100)
        .endpoints()
        .iter()
        .map(|endpoint| endpoint.id)
        .collect();
    let mut round = |rounds: u64| {
        for number in 0..rounds {
            let id = ids[(number % 100) as usize];
            let mut ticket = picker.on_sent(Millis(number), id, &Request::default().into());
            picker.on_first_byte(Millis(number), &mut ticket);
            picker.on_done(ticket);
        }
    };
    // More rounds than the log of recent sends has room for.
    round(10_000);
    assert_eq!(allocation_counter::measure(|| round(10_000)).count_total, 0);
}

#[test]
fn choosing_allocates_nothing_while_the_same_endpoints_are_left_out_or_in_slow_start() {
    let mut picker = Picker::new(Config::default());
    picker.on_table(snapshot(100), None);
    let mut rng = Rng::new(1);
    let ids: Vec<EndpointId> = snapshot(100).endpoints().iter().map(|row| row.id).collect();
    for id in &ids[..20] {
        for _ in 0..3 {
            let mut ticket = picker.on_sent(Millis(0), *id, &Request::default().into());
            picker.on_outcome(Millis(0), &mut ticket, Outcome::Reset);
            picker.on_done(ticket);
        }
    }
    let _ = picker.choose(Millis(5_000), &mut rng, &Request::default());
    for id in &ids[..10] {
        let mut trial = picker.on_sent(Millis(5_000), *id, &Request::default().into());
        picker.on_first_byte(Millis(5_000), &mut trial);
        picker.on_done(trial);
    }
    let trials: Vec<_> = ids[10..20]
        .iter()
        .map(|id| picker.on_sent(Millis(5_000), *id, &Request::default().into()))
        .collect();
    let decision = picker.choose(Millis(5_000), &mut rng, &Request::default());
    assert_eq!(decision.left_out, 10);
    let counted = allocation_counter::measure(|| {
        for at in 0..2_000 {
            let _ = picker.choose(Millis(5_000 + at), &mut rng, &Request::default());
        }
    });
    assert_eq!(counted.count_total, 0);
    trials.into_iter().for_each(|trial| picker.on_done(trial));
}

#[test]
fn the_count_sees_an_allocation() {
    let counted = allocation_counter::measure(|| drop(Box::new(std::hint::black_box(1_u64))));
    assert_eq!(counted.count_total, 1);
}
