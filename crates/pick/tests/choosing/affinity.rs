//! Conversations, prefixes and adapters.

use std::rc::Rc;

use trimtab_pick::{
    Adapter, Config, Conversation, Millis, Picker, PoolFacts, Reason, Request, Rng, Snapshot, State,
};

use crate::pool::{NOW, conversation, first, home, picker, plain, pool, prefix, shares};

#[test]
fn a_conversation_stays_home_exactly_as_long_as_its_history_is_worth_the_wait() {
    let endpoints = pool(&[0.0; 12]);
    for key in 0..20 {
        let home = home(&endpoints, key);
        // 2,000 cached tokens save 0.2 s, and 0.2 times as much for the others. Leaving costs
        // 0.06 s where pickers report. Otherwise it costs the 1,000 tokens that this turn adds and
        // the next one will miss.
        for (reported, wait_s, stays) in [
            (true, 0.29, true),
            (true, 0.31, false),
            (false, 0.33, true),
            (false, 0.35, false),
        ] {
            let mut endpoints = endpoints.clone();
            endpoints[home].wait_s = Some(wait_s);
            let mut picker = Picker::new(Config::default());
            let facts = PoolFacts {
                reported,
                ..PoolFacts::default()
            };
            picker.on_table(Rc::new(Snapshot::new(endpoints, facts, NOW)), None);
            for seed in 0..20 {
                let decision =
                    picker.choose(NOW, &mut Rng::new(seed), &conversation(key, 3_000, 2_000));
                assert_eq!(
                    first(&decision) == home,
                    stays,
                    "{reported}, waits {wait_s} s"
                );
                let expected = if stays {
                    Reason::Conversation
                } else {
                    Reason::Spill
                };
                assert_eq!(decision.reason, expected);
            }
        }
    }
}

#[test]
fn a_conversation_is_looked_for_where_it_went_and_others_are_told_of_it() {
    let endpoints = pool(&[0.0; 12]);
    let (home, elsewhere) = (home(&endpoints, 7), (home(&endpoints, 7) + 5) % 12);
    let turn = conversation(7, 3_000, 2_000);
    let (mut one, mut other) = (picker(endpoints.clone()), picker(endpoints.clone()));
    let choose = |picker: &mut Picker| first(&picker.choose(NOW, &mut Rng::new(1), &turn));
    assert_eq!((choose(&mut one), choose(&mut other)), (home, home));

    let ticket = one.on_sent(NOW, endpoints[elsewhere].id, &turn.into());
    one.on_done(ticket);
    let mut told = Vec::new();
    one.take_moved(|key, endpoint| told.push((key, endpoint)));
    assert_eq!(told, [(7, endpoints[elsewhere].id)]);
    assert_eq!(choose(&mut other), home);
    other.on_told(NOW, 7, endpoints[elsewhere].id);
    assert_eq!(choose(&mut other), elsewhere);

    // The endpoint where it went is gone, so its place is as good as any.
    let rest = endpoints.iter().filter(|e| e.id != endpoints[elsewhere].id);
    let rest: Vec<_> = rest.cloned().collect();
    other.on_table(
        Rc::new(Snapshot::new(rest.clone(), PoolFacts::default(), NOW)),
        None,
    );
    assert_eq!(rest[choose(&mut other)].id, endpoints[home].id);
}

#[test]
fn who_joins_takes_no_conversation_that_goes_on_and_it_is_told_where_these_are() {
    let after = pool(&[0.0; 12]);
    let before = after[..8].to_vec();
    let snapshot = |endpoints: &[_], at, previous: Option<&Snapshot>| {
        let facts = PoolFacts::default();
        Rc::new(Snapshot::with_previous(
            endpoints.to_vec(),
            facts,
            at,
            previous,
        ))
    };
    let first_table = snapshot(&before, NOW, None);
    let joined = snapshot(&after, NOW, Some(&first_table));
    // Only the clock has changed in the next table.
    let later = Millis(NOW.0 + 59_000);
    let joined = snapshot(&after, later, Some(&joined));
    let mut moved = 0;
    for key in 0..100 {
        let (old, new) = (home(&before, key), home(&after, key));
        let mut picker = Picker::new(Config::default());
        picker.on_table(Rc::clone(&joined), None);
        let turn = conversation(key, 3_000, 2_000);
        let mut choose = |at| picker.choose(at, &mut Rng::new(1), &turn);
        assert_eq!(first(&choose(Millis(NOW.0 + 60_000))), new);
        let decision = choose(later);
        assert_eq!(
            (first(&decision), decision.reason),
            (old, Reason::Conversation)
        );
        let ticket = picker.on_sent(later, after[old].id, &decision.booking);
        picker.on_done(ticket);
        let mut told = Vec::new();
        picker.take_moved(|key, endpoint| told.push((key, endpoint)));
        match old == new {
            true => assert_eq!(told, []),
            false => assert_eq!(told, [(key, after[old].id)]),
        }
        moved += usize::from(old != new);
        // A conversation whose old place is gone too is looked for at its new place.
        let rest: Vec<_> = after[1..].to_vec();
        let mut other = Picker::new(Config::default());
        other.on_table(snapshot(&rest, later, Some(&joined)), None);
        let decision = other.choose(later, &mut Rng::new(1), &turn);
        let expected = if old == 0 {
            after[1 + home(&rest, key)].id
        } else {
            after[old].id
        };
        assert_eq!(rest[first(&decision)].id, expected);
    }
    assert!(
        (20..50).contains(&moved),
        "{moved} of 100, a third is expected"
    );
}

#[test]
fn a_hot_prefix_is_spread_over_six_times_its_share_of_the_endpoints() {
    let endpoints = pool(&[0.0; 64]);
    let request = prefix(77, 3_000, 2_000);
    let places = |share: f32| {
        let snapshot = Snapshot::new(endpoints.clone(), PoolFacts::default(), NOW);
        let mut picker = Picker::new(Config::default());
        picker.on_table(Rc::new(snapshot.with_heat(vec![(77, share)])), None);
        let shares = shares(&mut picker, &request, 4_000);
        shares.iter().filter(|share| **share > 0.0).count()
    };
    assert_eq!(places(0.0), 1);
    // 6 x 6.25 % of 64 are 24 ranks. Several may be the same endpoint.
    let spread = places(0.0625);
    assert!((17..=24).contains(&spread), "{spread}");
}

#[test]
fn a_prefix_gathers_on_its_first_rank_and_then_on_its_second() {
    let endpoints = pool(&[0.0; 12]);
    let request = prefix(77, 3_000, 2_000);
    let home = shares(&mut picker(endpoints.clone()), &request, 500)
        .iter()
        .position(|s| *s == 1.0)
        .unwrap();
    // The second rank costs 0.3 of 0.2 s more, and any other endpoint 1.2 times 0.2 s.
    let with = |wait_s| {
        let mut endpoints = endpoints.clone();
        endpoints[home].wait_s = Some(wait_s);
        shares(&mut picker(endpoints), &request, 500)
    };
    assert_eq!(with(0.059)[home], 1.0);
    let beyond = with(0.061);
    let second = beyond.iter().position(|share| *share > 0.9).unwrap();
    assert_ne!(second, home);
    let decision = picker(endpoints).choose(NOW, &mut Rng::new(1), &request);
    assert_eq!(
        &decision.choices.as_slice()[..2],
        &[home as u32, second as u32]
    );
    assert_eq!(decision.reason, Reason::Prefix);
}

#[test]
fn one_prefix_under_two_adapters_is_two_prefixes() {
    let endpoints = pool(&[0.0; 200]);
    let at = |adapter| {
        let adapter = Some(Adapter {
            key: adapter,
            index: None,
        });
        let request = Request {
            adapter,
            ..prefix(5, 50_000, 50_000)
        };
        first(&picker(endpoints.clone()).choose(NOW, &mut Rng::new(1), &request))
    };
    assert_ne!(at(1), at(2));
}

#[test]
fn an_adapter_goes_where_it_is_resident_and_else_where_it_is_meant_to_live() {
    let request = Request {
        adapter: Some(Adapter {
            key: 3,
            index: Some(0),
        }),
        ..plain()
    };
    let decision = picker(pool(&[0.0; 50])).choose(NOW, &mut Rng::new(1), &request);
    assert_eq!(decision.reason, Reason::Adapter);
    // The second rank costs 1.3 loads, and drawn endpoints nine.
    let (home, second) = (first(&decision), decision.choices.as_slice()[1] as usize);
    assert_eq!(
        shares(&mut picker(pool(&[0.0; 50])), &request, 2_000)[home],
        1.0
    );
    let mut endpoints = pool(&[0.0; 50]);
    endpoints[second].adapters = Some(vec![0]);
    assert_eq!(
        shares(&mut picker(endpoints.clone()), &request, 2_000)[second],
        1.0
    );
    // A server that does not say which adapters it has gains nothing by that.
    endpoints[home].adapters = None;
    assert_eq!(shares(&mut picker(endpoints), &request, 2_000)[second], 1.0);
}

#[test]
fn what_only_one_endpoint_keeps_is_asked_of_it_whatever_its_load_and_state() {
    for state in [State::Ready, State::Draining, State::Suspect] {
        let mut endpoints = pool(&[0.0, 0.1, 30.0]);
        endpoints[2].state = state;
        let (holder, gone) = (endpoints[2].id, endpoints[1].id);
        let mut decider = picker(endpoints.clone());
        let asks = |key| Request {
            held: Some(key),
            ..plain()
        };
        let mut rng = Rng::new(1);
        assert_ne!(decider.choose(NOW, &mut rng, &asks(7)).reason, Reason::Held);
        decider.on_held(NOW, 7, holder);
        decider.on_told_held(NOW, 8, gone);
        let later = Millis(NOW.0 + 86_400_000);
        for now in [NOW, later] {
            let decision = decider.choose(now, &mut rng, &asks(7));
            assert_eq!((first(&decision), decision.reason), (2, Reason::Held));
            assert!(
                decision.choices.as_slice().len() > 1,
                "if it fails after all"
            );
        }
        // The picker reports it once. What other pickers say is not reported.
        let mut told = Vec::new();
        decider.take_held(|key, endpoint| told.push((key, endpoint)));
        assert_eq!(told, [(7, holder)]);
        decider.take_held(|key, _| panic!("{key} twice"));
        // An endpoint that is gone holds nothing.
        endpoints.remove(1);
        let snapshot = Snapshot::new(endpoints, PoolFacts::default(), NOW);
        decider.on_table(Rc::new(snapshot), None);
        assert_ne!(decider.choose(NOW, &mut rng, &asks(8)).reason, Reason::Held);
    }
}

#[test]
fn requests_that_their_client_says_belong_together_stay_together_while_the_load_allows() {
    let mut rng = Rng::new(5);
    for key in 0..20 {
        let endpoints = pool(&[0.0; 12]);
        let request = Request {
            prompt_tokens: Some(1_000),
            conversation: Some(Conversation {
                key,
                history_tokens: 0,
                is_named: true,
                is_cut: false,
            }),
            ..Request::default()
        };
        let mut decider = picker(endpoints.clone());
        let home = first(&decider.choose(NOW, &mut rng, &request));
        for _ in 0..20 {
            assert_eq!(first(&decider.choose(NOW, &mut rng, &request)), home);
        }
        // Half of the prompt takes 50 ms, which counts as the least, 0.1 s. The wait is longer.
        let mut busy = endpoints.clone();
        busy[home].wait_s = Some(0.2);
        let mut decider = picker(busy);
        let decision = decider.choose(NOW, &mut rng, &request);
        let away = first(&decision);
        assert_ne!(away, home);
        let ticket = decider.on_sent(NOW, endpoints[away].id, &decision.booking);
        decider.on_done(ticket);
        let sends = decider.sends();
        decider.on_table(
            Rc::new(Snapshot::new(endpoints, PoolFacts::default(), NOW)),
            Some(sends),
        );
        let later = Millis(NOW.0 + 10);
        assert_eq!(
            first(&decider.choose(later, &mut rng, &request)),
            away,
            "where it went"
        );
    }
}
