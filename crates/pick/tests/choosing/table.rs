//! No table, an old table, and endpoints that may not be chosen.

use trimtab_pick::{Config, EndpointLoad, Millis, Picker, Reason, Rng, State};

use crate::pool::{NOW, endpoint, first, picker, plain, pool, prefix};

#[test]
fn without_a_table_or_without_endpoints_there_is_no_opinion() {
    let mut rng = Rng::new(1);
    let decision = Picker::new(Config::default()).choose(NOW, &mut rng, &plain());
    assert_eq!(
        (decision.reason, decision.choices.as_slice()),
        (Reason::NoTable, &[][..])
    );
    let decision = picker(Vec::new()).choose(NOW, &mut rng, &plain());
    assert_eq!(
        (decision.reason, decision.choices.as_slice()),
        (Reason::NoEndpoints, &[][..])
    );
    let draining = EndpointLoad {
        state: State::Draining,
        ..endpoint(0, 0.0)
    };
    let decision = picker(vec![draining]).choose(NOW, &mut rng, &plain());
    assert_eq!(
        (decision.reason, decision.choices.as_slice()),
        (Reason::NoEndpoints, &[][..])
    );
}

#[test]
fn suspect_endpoints_are_used_only_when_they_are_more_than_the_ready_ones() {
    let mut endpoints = pool(&[0.0, 3.0]);
    endpoints[0].state = State::Suspect;
    let decision = picker(endpoints.clone()).choose(NOW, &mut Rng::new(1), &plain());
    assert_eq!(
        (decision.choices.as_slice(), decision.reason),
        (&[1][..], Reason::Single)
    );
    // Two of three are suspect. More likely the scraping fails than both endpoints.
    endpoints.push(EndpointLoad {
        state: State::Suspect,
        ..endpoint(2, 0.0)
    });
    let decision = picker(endpoints.clone()).choose(NOW, &mut Rng::new(1), &plain());
    assert_eq!(
        (decision.choices.as_slice().len(), decision.reason),
        (3, Reason::Load)
    );
    endpoints.pop();
    endpoints[1].state = State::Suspect;
    let decision = picker(endpoints).choose(NOW, &mut Rng::new(1), &plain());
    assert_eq!(
        (decision.choices.as_slice().len(), decision.reason),
        (2, Reason::Suspect)
    );
}

#[test]
fn an_old_table_still_tells_who_there_is() {
    let mut picker = picker(pool(&[0.0, 100.0]));
    let late = Millis(NOW.0 + 2_001);
    let mut rng = Rng::new(5);
    let decision = picker.choose(Millis(NOW.0 + 2_000), &mut rng, &plain());
    assert_eq!(decision.reason, Reason::Load);
    let mut second = 0;
    for _ in 0..2_000 {
        let decision = picker.choose(late, &mut rng, &plain());
        assert_eq!(
            (decision.reason, decision.wait_s),
            (Reason::StaleLoad, None)
        );
        second += first(&decision);
    }
    // The wait of 100 s does not count any more, so both get the same.
    assert!((900..=1_100).contains(&second), "{second} of 2,000");
    // A clock that steps back makes no table old.
    assert_eq!(
        picker.choose(Millis(0), &mut rng, &plain()).reason,
        Reason::Load
    );
}

#[test]
fn a_table_that_was_old_when_it_came_stays_old() {
    let rows = pool(&[0.0, 0.0])
        .into_iter()
        .map(|row| EndpointLoad {
            age_ms: 1_000,
            ..row
        })
        .collect();
    let mut picker = picker(rows);
    let mut rng = Rng::new(5);
    assert_eq!(
        picker
            .choose(Millis(NOW.0 + 1_000), &mut rng, &plain())
            .reason,
        Reason::Load
    );
    assert_eq!(
        picker
            .choose(Millis(NOW.0 + 1_001), &mut rng, &plain())
            .reason,
        Reason::StaleLoad
    );
}

#[test]
fn without_a_fresh_table_one_hot_key_overloads_nobody() {
    let mut picker = picker(pool(&[0.0; 8]));
    let late = Millis(NOW.0 + 60_000);
    let mut rng = Rng::new(5);
    let mut counts = [0_u32; 8];
    let mut tickets = Vec::new();
    for sent in 1..=800 {
        let decision = picker.choose(late, &mut rng, &prefix(9, 500, 400));
        assert_eq!(decision.reason, Reason::StaleAffinity);
        let index = first(&decision);
        counts[index] += 1;
        tickets.push(picker.on_sent(
            late,
            picker.snapshot().unwrap().endpoints()[index].id,
            &plain().into(),
        ));
        // The bound of consistent hashing with bounded loads: ceil(1.25 x mean). 16 independent
        // ranks miss one of 8 endpoints with a chance of 12 %. So the bound holds as long as the
        // endpoints that are hit have room: 1.25 x 7 / 8 > 1.
        let bound = (1.25 * f64::from(sent) / 8.0).ceil();
        assert!(
            counts.iter().all(|count| f64::from(*count) <= bound),
            "{counts:?} after {sent}"
        );
    }
    // Without load the key is back on its first rank.
    tickets
        .into_iter()
        .for_each(|ticket| picker.on_done(ticket));
    let firsts: Vec<usize> = (0..50)
        .map(|_| first(&picker.choose(late, &mut rng, &prefix(9, 500, 400))))
        .collect();
    assert!(
        firsts.windows(2).all(|pair| pair[0] == pair[1]),
        "{firsts:?}"
    );
}

#[test]
fn an_endpoint_that_is_tried_out_gets_the_next_request_first_and_no_more() {
    let mut endpoints = pool(&[0.0, 3.0, 5.0]);
    endpoints[0].state = State::Suspect;
    let mut rng = Rng::new(1);
    let mut decider = picker(endpoints.clone());
    assert!(decider.probe_next(endpoints[0].id));
    let decision = decider.choose(NOW, &mut rng, &plain());
    assert_eq!(
        (
            decision.choices.as_slice(),
            decision.reason,
            decision.wait_s
        ),
        (&[0, 1, 2][..], Reason::Probe, None)
    );
    let decision = decider.choose(NOW, &mut rng, &plain());
    assert_eq!(decision.choices.as_slice(), [1, 2]);
    // A draining endpoint is not tried out, and neither is one that takes no prompts or is not in
    // the table.
    for state in [State::Draining, State::NoPrompts] {
        endpoints[0].state = state;
        let mut decider = picker(endpoints.clone());
        decider.probe_next(endpoints[0].id);
        let decision = decider.choose(NOW, &mut rng, &plain());
        assert_eq!(decision.choices.as_slice(), [1, 2], "{state:?}");
    }
    assert!(!decider.probe_next(endpoint(9, 0.0).id));
}
