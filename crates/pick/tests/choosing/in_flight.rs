//! The picker's own requests.

use std::rc::Rc;

use trimtab_pick::{
    Config, EndpointId, EndpointLoad, Millis, Picker, PoolFacts, Request, Rng, Snapshot,
};

use crate::pool::{NOW, endpoint, first, picker, plain, pool, shares};

#[test]
fn own_requests_count_until_a_table_has_seen_them() {
    let mut picker = picker(pool(&[0.0, 0.5]));
    // 10,000 tokens are one second of prefill, which is more than the other endpoint's wait.
    let long = Request {
        prompt_tokens: Some(10_000),
        ..Request::default()
    };
    let id = |index: usize, picker: &Picker| picker.snapshot().unwrap().endpoints()[index].id;
    let ticket = picker.on_sent(Millis(NOW.0 + 10), id(0, &picker), &long.into());
    assert_eq!(shares(&mut picker, &plain(), 500), [0.0, 1.0]);
    // A table that was taken before the send has not seen it, even if it came later. A table that
    // was taken after the send has seen it.
    for (age_ms, expected) in [(200, [0.0, 1.0]), (20, [1.0, 0.0])] {
        let rows = pool(&[0.0, 0.5])
            .into_iter()
            .map(|row| EndpointLoad { age_ms, ..row })
            .collect();
        picker.on_table(
            Rc::new(Snapshot::new(
                rows,
                PoolFacts::default(),
                Millis(NOW.0 + 100),
            )),
            None,
        );
        let share = shares(&mut picker, &plain(), 500);
        assert_eq!(share, expected, "rows of {age_ms} ms");
    }
    picker.on_done(ticket);
}

#[test]
fn a_prompt_of_unknown_length_is_booked_as_a_mean_one_or_as_512_tokens() {
    let unknown = Request::default().into();
    for (mean, expected) in [(Some(2_000.0), 2_000), (Some(0.0), 0), (None, 512)] {
        let rows = pool(&[0.0]);
        let id = rows[0].id;
        let facts = PoolFacts {
            uncached_tokens: mean,
            ..PoolFacts::default()
        };
        let mut picker = Picker::new(Config::default());
        picker.on_table(Rc::new(Snapshot::new(rows, facts, NOW)), None);
        let ticket = picker.on_sent(NOW, id, &unknown);
        assert_eq!(ticket.uncached_tokens(), expected, "{mean:?}");
        picker.on_done(ticket);
    }
}

#[test]
fn a_burst_between_two_tables_is_spread_over_the_pool() {
    let mut picker = picker(pool(&[0.0; 10]));
    let mut rng = Rng::new(3);
    let mut counts = [0_u32; 10];
    let mut tickets = Vec::new();
    for _ in 0..1_000 {
        let index = first(&picker.choose(NOW, &mut rng, &plain()));
        counts[index] += 1;
        let id = picker.snapshot().unwrap().endpoints()[index].id;
        tickets.push(picker.on_sent(NOW, id, &plain().into()));
    }
    // Own requests are counted exactly, so no endpoint is far from the mean of 100.
    assert!(
        counts.iter().all(|count| (95..=105).contains(count)),
        "{counts:?}"
    );
    tickets
        .into_iter()
        .for_each(|ticket| picker.on_done(ticket));
}

#[test]
fn requests_in_flight_survive_tables_without_their_endpoint_and_leave_nothing_behind() {
    let mut picker = Picker::new(Config::default());
    let here = endpoint(1, 0.0).id;
    let before_any_table = picker.on_sent(NOW, here, &plain().into());
    let stranger = picker.on_sent(NOW, EndpointId(99), &plain().into());
    picker.on_table(
        Rc::new(Snapshot::new(pool(&[0.0; 3]), PoolFacts::default(), NOW)),
        None,
    );
    let mut after = picker.on_sent(NOW, here, &plain().into());
    let work: Vec<_> = picker
        .own_work()
        .map(|work| (work.endpoint, work.in_flight, work.pending_tokens))
        .collect();
    assert_eq!(work, [(here, 2, 100), (EndpointId(99), 1, 0)]);
    picker.on_first_byte(NOW, &mut after);
    picker.on_first_byte(NOW, &mut after);
    picker.on_table(
        Rc::new(Snapshot::new(Vec::new(), PoolFacts::default(), NOW)),
        None,
    );
    let work: Vec<_> = picker
        .own_work()
        .map(|work| (work.in_flight, work.pending_tokens))
        .collect();
    assert_eq!(work.iter().map(|(in_flight, _)| in_flight).sum::<u32>(), 3);
    assert!(
        work.iter().all(|(_, pending_tokens)| *pending_tokens == 0),
        "{work:?}"
    );
    for ticket in [before_any_table, stranger, after] {
        picker.on_done(ticket);
    }
    assert_eq!(picker.own_work().count(), 0);
}

#[test]
fn own_prefill_that_has_not_shown_a_byte_lies_ahead_whatever_a_newer_table_says() {
    let mut picker = picker(pool(&[0.0, 0.4]));
    let mut rng = Rng::new(5);
    let streamed = Request {
        prompt_tokens: Some(8_000),
        streams: Some(true),
        ..Request::default()
    };
    let busy = picker.snapshot().unwrap().endpoints()[0].id;
    let mut ticket = picker.on_sent(NOW, busy, &streamed.into());
    // The request runs in the engine's batch, so the next table sees no queue. 0.8 s of prefill are
    // still ahead.
    let later = Millis(NOW.0 + 1_000);
    let rows = pool(&[0.0, 0.4]);
    picker.on_table(
        Rc::new(Snapshot::new(rows, PoolFacts::default(), later)),
        None,
    );
    assert_eq!(first(&picker.choose(later, &mut rng, &plain())), 1);
    picker.on_first_byte(later, &mut ticket);
    assert_eq!(first(&picker.choose(later, &mut rng, &plain())), 0);
    picker.on_done(ticket);
}

#[test]
fn a_whole_answers_first_byte_comes_too_late_to_tell_of_its_prefill() {
    for streams in [Some(false), None] {
        let mut picker = picker(pool(&[0.0, 0.4]));
        let mut rng = Rng::new(5);
        let request = Request {
            prompt_tokens: Some(8_000),
            streams,
            ..Request::default()
        };
        let first_row = picker.snapshot().unwrap().endpoints()[0].id;
        let ticket = picker.on_sent(NOW, first_row, &request.into());
        let later = Millis(NOW.0 + 1_000);
        let rows = pool(&[0.0, 0.4]);
        picker.on_table(
            Rc::new(Snapshot::new(rows, PoolFacts::default(), later)),
            None,
        );
        assert_eq!(first(&picker.choose(later, &mut rng, &plain())), 0);
        picker.on_done(ticket);
    }
}
