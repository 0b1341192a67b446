//! What a ticket predicts: the seconds until the first byte.

use std::rc::Rc;

use trimtab_pick::{EndpointId, EndpointLoad, Millis, Picker, PoolFacts, Request, Rng, Snapshot};

use crate::pool::{NOW, conversation, endpoint, home, picker, pool};

fn streamed(prompt_tokens: u32) -> Request {
    Request {
        prompt_tokens: Some(prompt_tokens),
        streams: Some(true),
        ..Request::default()
    }
}

/// What is predicted for a request that goes to `endpoint` at `now`, which stays in flight.
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
    // The next table has seen that, and says that there is no wait; the 0.3 s of prefill without a first byte lie ahead all the same.
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
        picker.on_done(NOW, ticket);
        predicted_s
    };
    let away = rows[(at + 1) % rows.len()].id;
    close(sent_to(away), 0.25 + 0.5);
    // Its memory now says that the turn went away. A retry that brings it home finds there what was there when it was decided.
    close(sent_to(rows[at].id), 0.25 + 0.1);
}

#[test]
fn nothing_is_predicted_of_whole_answers_nor_from_what_is_unknown_or_old() {
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
    for streams in [Some(false), None] {
        let request = Request {
            streams,
            ..streamed(100)
        };
        assert_eq!(predicted(&mut picker, NOW, ids[0], &request), None);
    }
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
