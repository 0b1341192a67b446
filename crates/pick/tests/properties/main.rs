//! What holds for any pool and any request.

mod values;
mod well_formed;

use std::collections::BTreeMap;
use std::rc::Rc;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use trimtab_pick::{
    Config, EndpointId, EndpointLoad, Millis, Picker, PoolFacts, Request, Rng, Snapshot, State,
};

use values::{endpoint, outcome, pool_facts, request, state, wild};
use well_formed::{check, decide, may_be_chosen};

proptest! {
    /// Conversations are where an earlier table allowed them. Each further table says anew which
    /// endpoints may be chosen.
    #[test]
    fn nobody_is_chosen_whom_the_newest_table_forbids_whatever_was_remembered(
        pool in vec(endpoint(), 2..8), seed in any::<u64>(),
        tables in vec((vec(state(), 8), vec((0..20_u64, any::<prop::sample::Index>()), 0..8), vec(request(), 1..12), 0..3_000_u64), 2..6),
    ) {
        let mut picker = Picker::new(Config::default());
        let (mut rng, mut now) = (Rng::new(seed), Millis(1_000_000));
        for (states, told, requests, step_ms) in tables {
            let said = pool.iter().zip(states).map(|(row, state)| EndpointLoad { state, age_ms: 0, ..row.clone() });
            let endpoints: Vec<EndpointLoad> = said.collect();
            let facts = PoolFacts { reported: true, ..PoolFacts::default() };
            picker.on_table(Rc::new(Snapshot::new(endpoints.clone(), facts, now)), None);
            for (key, index) in told {
                picker.on_told(now, key, index.get(&endpoints).id);
            }
            // After a large step the table is too old for load.
            now = Millis(now.0 + step_ms);
            for request in requests {
                let decision = picker.choose(now, &mut rng, &request);
                check(&decision, &endpoints)?;
                if let Some(index) = decision.choices.as_slice().last() {
                    let ticket = picker.on_sent(now, endpoints[*index as usize].id, &decision.booking);
                    picker.on_done(ticket);
                }
            }
        }
    }

    #[test]
    fn whatever_is_said_of_endpoints_half_of_them_stay_and_the_same_is_decided_again(
        states in vec(state(), 0..12), step_ms in 0..20_000_u64, seed in any::<u64>(),
        steps in vec((0..16_u64, outcome(), any::<bool>(), of(any::<u64>()), request()), 1..60),
    ) {
        let row = |(number, state): (u64, &State)| EndpointLoad {
            id: EndpointId(number), state: *state, wait_s: Some(0.1), waiting: None, running: None, kv_used: None,
            prefill_tokens_per_s: None, decode_s_per_sequence: None, speed: None, adapters: None, age_ms: 0,
            adapter_room: None,
            ..EndpointLoad::default()
        };
        let rows: Vec<EndpointLoad> = (0..).zip(&states).map(row).collect();
        let run = || {
            let mut picker = Picker::new(Config { table_max_age_ms: u64::MAX / 2, ..Config::default() });
            picker.on_table(Rc::new(Snapshot::new(rows.clone(), PoolFacts::default(), Millis(0))), None);
            let (mut rng, mut now) = (Rng::new(seed), Millis(1_000));
            let mut decisions = Vec::new();
            for (to, outcome, first_byte, jump, request) in &steps {
                // Sometimes the clock jumps to any time.
                now = Millis(jump.filter(|to| to.is_multiple_of(8)).unwrap_or_else(|| now.0.saturating_add(step_ms)));
                let decision = picker.choose(now, &mut rng, request);
                let choosable = rows.iter().filter(|row| may_be_chosen(row, &rows)).count();
                let left_out = decision.left_out as usize;
                prop_assert!(2 * left_out <= choosable, "{} of {}", left_out, choosable);
                prop_assert_eq!(decision.choices.as_slice().len(), (choosable - left_out).min(3));
                decisions.push(decision);
                let mut ticket = picker.on_sent(now, EndpointId(*to), &decision.booking);
                if *first_byte {
                    picker.on_first_byte(now, &mut ticket);
                }
                if let Some(outcome) = outcome {
                    picker.on_outcome(now, &mut ticket, *outcome);
                }
                picker.on_done(ticket);
            }
            Ok(decisions)
        };
        prop_assert_eq!(run()?, run()?);
    }

    #[test]
    fn any_decision_is_well_formed(
        endpoints in vec(endpoint(), 0..30), facts in pool_facts(), requests in vec(request(), 1..20),
        now in any::<u64>(), arrived in any::<u64>(), seed in any::<u64>(),
    ) {
        let picker = Picker::new(Config::default());
        let at = (Millis(now), Millis(arrived), seed);
        for decision in decide(picker, &endpoints, facts, &requests, at)? {
            prop_assert!(decision.candidates <= 24);
        }
    }

    #[test]
    fn an_endpoint_never_wins_because_a_signal_is_missing(
        endpoints in vec(endpoint(), 1..12), missing in any::<prop::sample::Index>(), signal in 0..4_u8,
        request in request(), seed in any::<u64>(),
    ) {
        // The value lies within those of the other endpoints. The worst of the pool cannot be worse
        // than that.
        let missing = missing.index(endpoints.len());
        let mut without = endpoints.clone();
        let row = &mut without[missing];
        match signal {
            0 => row.wait_s = None,
            1 => row.prefill_tokens_per_s = None,
            2 => row.decode_s_per_sequence = None,
            _ => row.adapters = None,
        }
        let others_worse = |value: fn(&EndpointLoad) -> Option<f32>, least: f32, worse: fn(f32, f32) -> bool| {
            let usable = |e: &EndpointLoad| value(e).filter(|v| v.is_finite() && *v >= least);
            match usable(&endpoints[missing]) {
                None => true,
                Some(own) => endpoints.iter().enumerate().any(|(at, e)| {
                    at != missing && usable(e).is_some_and(|other| !worse(own, other))
                }),
            }
        };
        prop_assume!(match signal {
            0 => others_worse(|e| e.wait_s, 0.0, |own, other| own > other),
            1 => others_worse(|e| e.prefill_tokens_per_s, f32::MIN_POSITIVE, |own, other| own < other),
            2 => others_worse(|e| e.decode_s_per_sequence, 0.0, |own, other| own > other),
            _ => true,
        });
        let first = |endpoints: Vec<EndpointLoad>| {
            let mut picker = Picker::new(Config { table_max_age_ms: u64::MAX, ..Config::default() });
            picker.on_table(Rc::new(Snapshot::new(endpoints, PoolFacts::default(), Millis(0))), None);
            picker.choose(Millis(0), &mut Rng::new(seed), &request).choices.as_slice().first().copied()
        };
        let missing = u32::try_from(missing).unwrap();
        if first(without) == Some(missing) {
            prop_assert_eq!(first(endpoints), Some(missing), "chosen only once its signal was gone");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_decisions(
        endpoints in vec(endpoint(), 0..20), requests in vec(request(), 1..20), seed in any::<u64>(),
    ) {
        let run = || {
            let mut picker = Picker::new(Config::default());
            picker.on_table(Rc::new(Snapshot::new(endpoints.clone(), PoolFacts::default(), Millis(0))), None);
            let mut rng = Rng::new(seed);
            requests.iter().map(|request| picker.choose(Millis(0), &mut rng, request)).collect::<Vec<_>>()
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn a_table_indexed_with_the_one_before_decides_as_one_indexed_alone(
        before in vec(endpoint(), 0..20), after in vec(endpoint(), 0..20), same in any::<bool>(),
        wait_s in wild(), mut requests in vec(request(), 1..20), seed in any::<u64>(),
    ) {
        if !same {
            // Conversations with a history are looked for where the table before had their places.
            let conversations = requests.iter_mut().filter_map(|request| request.conversation.as_mut());
            conversations.for_each(|conversation| conversation.history_tokens = 0);
        }
        let after = if same {
            before.iter().map(|row| EndpointLoad { wait_s, ..row.clone() }).collect()
        } else {
            after
        };
        let previous = Snapshot::new(before, PoolFacts::default(), Millis(0));
        let run = |previous: Option<&Snapshot>| {
            let facts = PoolFacts::default();
            let snapshot = Snapshot::with_previous(after.clone(), facts, Millis(9), previous);
            let found: Vec<_> = after.iter().map(|row| snapshot.index_of(row.id)).collect();
            let mut picker = Picker::new(Config::default());
            picker.on_table(Rc::new(snapshot), None);
            let mut rng = Rng::new(seed);
            let choose = |request| picker.choose(Millis(9), &mut rng, request);
            (found, requests.iter().map(choose).collect::<Vec<_>>())
        };
        prop_assert_eq!(run(Some(&previous)), run(None));
    }

    #[test]
    fn own_work_is_what_a_list_of_open_requests_says(
        steps in vec((0..5_u8, 0..12_u64, any::<prop::sample::Index>()), 0..80),
    ) {
        let mut picker = Picker::new(Config::default());
        let mut open = Vec::new();
        let request = Request { prompt_tokens: Some(700), ..Request::default() };
        for (what, number, at) in steps {
            match what {
                0 => {
                    // Tables come with some of the endpoints.
                    let row = |n: u64| EndpointLoad {
                        id: EndpointId(n), state: State::Ready, wait_s: None, waiting: None, running: None, kv_used: None,
                        prefill_tokens_per_s: None, decode_s_per_sequence: None, speed: None, adapters: None, age_ms: 0,
                        adapter_room: None,
                        ..EndpointLoad::default()
                    };
                    let rows = (number / 2..number).map(row).collect();
                    picker.on_table(Rc::new(Snapshot::new(rows, PoolFacts::default(), Millis(number))), None);
                }
                1 | 2 => open.push(picker.on_sent(Millis(number), EndpointId(number), &request.into())),
                3 if !open.is_empty() => {
                    let at = at.index(open.len());
                    picker.on_first_byte(Millis(number), &mut open[at]);
                }
                _ if !open.is_empty() => {
                    let at = at.index(open.len());
                    picker.on_done(open.swap_remove(at));
                }
                _ => {}
            }
            let mut naive: BTreeMap<EndpointId, u32> = BTreeMap::new();
            for ticket in &open {
                *naive.entry(ticket.endpoint()).or_default() += 1;
            }
            let found: BTreeMap<EndpointId, u32> = picker.own_work().map(|w| (w.endpoint, w.in_flight)).collect();
            prop_assert_eq!(found, naive);
        }
        for mut ticket in open {
            picker.on_first_byte(Millis(0), &mut ticket);
            picker.on_done(ticket);
        }
        prop_assert_eq!(picker.own_work().count(), 0);
    }
}
