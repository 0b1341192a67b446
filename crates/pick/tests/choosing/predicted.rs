//! What a ticket predicts: the seconds until the first byte.

use std::rc::Rc;

use trimtab_pick::{
    Booking, EndpointId, EndpointLoad, Millis, Picker, PoolFacts, Request, Rng, Sends, Snapshot,
};

use crate::pool::{NOW, conversation, endpoint, home, picker, pool};

fn streamed(prompt_tokens: u32) -> Request {
    Request {
        prompt_tokens: Some(prompt_tokens),
        streams: Some(true),
        ..Request::default()
    }
}

/// Returns the prediction for a request that goes to `endpoint` at `now` and stays in flight.
fn predicted(
    picker: &mut Picker,
    now: Millis,
    endpoint: EndpointId,
    request: &Request,
) -> Option<f64> {
    picker
        .on_sent(now, endpoint, &(*request).into())
        .predicted_s()
}

fn close(found: Option<f64>, expected: f64) {
    let off = found.map(|found| (found - expected).abs());
    assert!(off.is_some_and(|off| off < 1e-6), "{found:?}, {expected}");
}

#[test]
fn a_first_byte_comes_after_the_rows_wait_own_work_that_it_has_not_seen_and_own_prefill() {
    // 1,000 tokens are 0.1 s.
    let rows = pool(&[0.3, 0.0]);
    let ids = [rows[0].id, rows[1].id];
    let mut picker = picker(rows.clone());
    close(
        predicted(&mut picker, NOW, ids[0], &streamed(2_000)),
        0.3 + 0.2,
    );
    close(
        predicted(&mut picker, NOW, ids[0], &streamed(1_000)),
        0.3 + 0.2 + 0.1,
    );
    close(predicted(&mut picker, NOW, ids[1], &streamed(1_000)), 0.1);
    // The next table has seen these requests, and says that there is no wait. The 0.3 s of prefill
    // without a first byte still lie ahead.
    let later = Millis(NOW.0 + 1_000);
    let rows = pool(&[0.0, 0.0]);
    let table = Snapshot::new(rows, PoolFacts::default(), later);
    picker.on_table(Rc::new(table), Some(picker.sends()));
    close(
        predicted(&mut picker, later, ids[0], &streamed(500)),
        0.3 + 0.05,
    );
}

#[test]
fn what_the_endpoint_has_in_its_cache_takes_no_time() {
    let rows = pool(&[0.25; 4]);
    let at = home(&rows, 77);
    let mut picker = picker(rows.clone());
    let turn = Request {
        streams: Some(true),
        ..conversation(77, 5_000, 4_000)
    };
    let booking = picker.choose(NOW, &mut Rng::new(1), &turn).booking;
    let mut sent_to = |endpoint| {
        let ticket = picker.on_sent(NOW, endpoint, &booking);
        let predicted_s = ticket.predicted_s();
        picker.on_done(ticket);
        predicted_s
    };
    let away = rows[(at + 1) % rows.len()].id;
    close(sent_to(away), 0.25 + 0.5);
    // The picker remembers that the turn went away. The booking still says what was cached at home
    // when the request was decided.
    close(sent_to(rows[at].id), 0.25 + 0.1);
}

#[test]
fn nothing_is_predicted_from_what_is_unknown_or_old() {
    let silent = |endpoint: EndpointLoad| EndpointLoad {
        wait_s: None,
        ..endpoint
    };
    let slow = |endpoint: EndpointLoad| EndpointLoad {
        prefill_tokens_per_s: None,
        ..endpoint
    };
    let rows = [endpoint(0, 0.1), silent(endpoint(1, 0.1))];
    let rows = Vec::from_iter(rows.into_iter().chain([slow(endpoint(2, 0.1))]));
    let ids: Vec<EndpointId> = rows.iter().map(|row| row.id).collect();
    let mut picker = picker(rows);
    for unknown in [ids[1], ids[2], EndpointId(9)] {
        assert_eq!(predicted(&mut picker, NOW, unknown, &streamed(100)), None);
    }
    for (age_ms, known) in [(2_000, true), (2_001, false)] {
        let now = Millis(NOW.0 + age_ms);
        let found = predicted(&mut picker, now, ids[0], &streamed(100));
        assert_eq!(found.is_some(), known, "{age_ms} ms");
    }
    let mut without_table = Picker::new(trimtab_pick::Config::default());
    let found = predicted(&mut without_table, NOW, ids[0], &streamed(100));
    assert_eq!(found, None);
}

#[test]
fn a_prompt_that_turns_out_longer_counts_as_if_it_had_been_known_until_its_first_byte() {
    let rows = pool(&[0.3, 0.3]);
    let [id, other] = [rows[0].id, rows[1].id];
    let (mut grown, mut known) = (picker(rows.clone()), picker(rows));
    let mut booking: Booking = streamed(4_000).into();
    let mut ticket = grown.on_sent(NOW, id, &booking);
    assert_eq!(booking.grow(3_000), None);
    assert_eq!(booking.grow(100_000), Some(96_000));
    assert!(grown.on_grown(NOW, &mut ticket, &booking, 96_000), "large");
    let ticket_of_known = known.on_sent(NOW, id, &streamed(100_000).into());
    assert_eq!(ticket.uncached_tokens(), ticket_of_known.uncached_tokens());
    close(ticket.predicted_s(), 0.3 + 10.0);
    let same = |grown: &mut Picker, known: &mut Picker, expected| {
        let all = |picker: &Picker| picker.own_work().collect::<Vec<_>>();
        assert_eq!(all(grown), all(known));
        for (id, expected) in [(id, expected), (other, 0.3 + 0.1)] {
            for picker in [&mut *grown, known] {
                let ticket = picker.on_sent(NOW, id, &streamed(1_000).into());
                close(ticket.predicted_s(), expected);
                picker.on_done(ticket);
            }
        }
    };
    // 4,000 and 96,000 tokens lie before it.
    same(&mut grown, &mut known, 0.3 + 10.0 + 0.1);
    let short = streamed(10).into();
    let mut answered = grown.on_sent(NOW, other, &short);
    grown.on_first_byte(NOW, &mut answered);
    let before = grown.own_work().collect::<Vec<_>>();
    assert!(!grown.on_grown(NOW, &mut answered, &short, 50_000));
    assert_eq!(grown.own_work().collect::<Vec<_>>(), before);
    grown.on_done(answered);
    grown.on_done(ticket);
    assert_eq!(grown.own_work().count(), 0);
}

/// Seconds that lie ahead at the first endpoint, with a table that has seen `sends`.
fn ahead(picker: &mut Picker, rows: &[EndpointLoad], sends: Sends) -> Option<f64> {
    let table = Snapshot::new(rows.to_vec(), PoolFacts::default(), NOW);
    picker.on_table(Rc::new(table), Some(sends));
    let probe = picker.on_sent(NOW, rows[0].id, &streamed(0).into());
    let predicted_s = probe.predicted_s();
    picker.on_done(probe);
    predicted_s
}

#[test]
fn a_table_that_has_seen_the_request_lacks_what_came_to_light_since() {
    let rows = pool(&[0.0]);
    let id = rows[0].id;
    let mut picker = picker(rows.clone());
    let booking: Booking = streamed(4_000).into();
    let mut ticket = picker.on_sent(NOW, id, &booking);
    let reported = picker.sends();
    picker.on_grown(NOW, &mut ticket, &booking, 6_000);
    // The answer begins, so nothing is pending. Only what the table has not seen lies ahead.
    picker.on_first_byte(NOW, &mut ticket);
    close(ahead(&mut picker, &rows, reported), 0.6);
    let all = picker.sends();
    close(ahead(&mut picker, &rows, all), 0.0);
    picker.on_done(ticket);
}

#[test]
fn an_answer_that_turns_out_to_be_streamed_counts_as_if_that_had_been_known_until_its_first_byte() {
    let rows = pool(&[0.0, 0.0]);
    let id = rows[0].id;
    let mut picker = picker(rows.clone());
    // The table has seen all of it. Only prefill without a first byte lies ahead.
    let ahead = |picker: &mut Picker| {
        let sends = picker.sends();
        ahead(picker, &rows, sends)
    };
    let mut booking: Booking = Request {
        streams: None,
        ..streamed(4_000)
    }
    .into();
    let mut ticket = picker.on_sent(NOW, id, &booking);
    close(ahead(&mut picker), 0.0);
    for _ in 0..2 {
        picker.on_streamed(&mut ticket, &mut booking);
        close(ahead(&mut picker), 0.4);
    }
    assert_eq!(booking.grow(6_000), Some(2_000));
    picker.on_grown(NOW, &mut ticket, &booking, 2_000);
    close(ahead(&mut picker), 0.6);
    picker.on_first_byte(NOW, &mut ticket);
    close(ahead(&mut picker), 0.0);
    picker.on_done(ticket);
    let mut late: Booking = Request {
        streams: Some(false),
        ..streamed(4_000)
    }
    .into();
    let mut ticket = picker.on_sent(NOW, id, &late);
    picker.on_first_byte(NOW, &mut ticket);
    picker.on_streamed(&mut ticket, &mut late);
    close(ahead(&mut picker), 0.0);
    picker.on_done(ticket);
}
