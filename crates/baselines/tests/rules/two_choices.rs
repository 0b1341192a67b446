//! Draws, and how two of them are compared.

use trimtab_baselines::{LeastRequest, PowerOfTwo, Random};
use trimtab_pick::{Request, Rng, State};

use crate::pool::{NOW, assert_close, first, picker, pool, prompt, shares};

/// Four standard deviations of a share of one half in so many decisions.
const RUNS: u32 = 40_000;
const TOLERANCE: f64 = 0.01;

#[test]
fn random_knows_neither_speeds_nor_waits_but_who_may_be_chosen() {
    let mut rows = pool(5);
    rows[0].speed = Some(16.0);
    rows[1].wait_s = Some(60.0);
    rows[3].state = State::Draining;
    let share = shares(&mut picker(Random, &rows), &Request::default(), RUNS);
    assert_close(&share, &[0.25, 0.25, 0.25, 0.0, 0.25], TOLERANCE);
}

#[test]
fn random_draws_are_independent() {
    let (mut picker, mut rng) = (picker(Random, &pool(4)), Rng::new(6));
    let mut pairs = [0.0; 16];
    let mut last = 0;
    for _ in 0..RUNS {
        let next = first(&picker.choose(NOW, &mut rng, &Request::default()));
        pairs[4 * last + next] += 1.0 / f64::from(RUNS);
        last = next;
    }
    assert_close(&pairs, &[1.0 / 16.0; 16], TOLERANCE / 2.0);
}

#[test]
fn least_request_draws_with_replacement_so_that_the_busiest_of_n_gets_one_in_n_squared() {
    let rows = pool(4);
    let mut picker = picker(LeastRequest, &rows);
    let mut tickets = Vec::new();
    // In flight: 2, 0, 3, 1. Waits and speeds do not count.
    for (row, in_flight) in rows.iter().zip([2, 0, 3, 1]) {
        tickets.extend((0..in_flight).map(|_| picker.on_sent(NOW, row.id, &prompt(10).into())));
    }
    // An endpoint with k busier ones wins 2k + 1 of the 16 ordered pairs.
    let share = shares(&mut picker, &Request::default(), RUNS);
    assert_close(
        &share,
        &[3.0, 7.0, 1.0, 5.0].map(|wins| wins / 16.0),
        TOLERANCE,
    );
    // All are equal again. The first draw wins a tie.
    tickets
        .into_iter()
        .for_each(|ticket| picker.on_done(ticket));
    for seed in 0..100 {
        let drawn = (Rng::new(seed).next_u64() % 4) as usize;
        let decision = picker.choose(NOW, &mut Rng::new(seed), &Request::default());
        assert_eq!(first(&decision), drawn);
    }
}

/// Chance of each endpoint if one is drawn by speed, then another one by speed, and the one with
/// the shorter wait wins.
fn shorter_of_two(speeds: &[f64], waits: &[f64]) -> Vec<f64> {
    let total: f64 = speeds.iter().sum();
    let mut shares = vec![0.0; speeds.len()];
    for (a, b) in (0..speeds.len()).flat_map(|a| (0..speeds.len()).map(move |b| (a, b))) {
        if a != b {
            let best = if waits[b] < waits[a] { b } else { a };
            shares[best] += speeds[a] / total * speeds[b] / (total - speeds[a]);
        }
    }
    shares
}

#[test]
fn power_of_two_takes_the_shorter_wait_of_two_different_draws_by_speed() {
    let speeds = [1.0, 2.0, 4.0, 1.0, 8.0];
    let waits = [0.3, 0.1, 0.4, 0.1, 0.2];
    let mut rows = pool(5);
    for (row, (speed, wait_s)) in rows.iter_mut().zip(speeds.iter().zip(waits)) {
        (row.speed, row.wait_s) = (Some(*speed as f32), Some(wait_s as f32));
    }
    let mut picker = picker(PowerOfTwo, &rows);
    let share = shares(&mut picker, &Request::default(), RUNS);
    assert_close(&share, &shorter_of_two(&speeds, &waits), TOLERANCE);
    // 1,500 tokens there are 0.15 s that the row has not seen. The endpoint is then behind the
    // fifth, and stays so when the request ends.
    let ticket = picker.on_sent(NOW, rows[1].id, &prompt(1_500).into());
    picker.on_done(ticket);
    let share = shares(&mut picker, &Request::default(), RUNS);
    let waits = [0.3, 0.25, 0.4, 0.1, 0.2];
    assert_close(&share, &shorter_of_two(&speeds, &waits), TOLERANCE);
}

#[test]
fn power_of_two_tells_the_wait_it_went_by_where_that_is_known() {
    let mut rows = pool(2);
    rows[0].wait_s = Some(0.25);
    rows[1].wait_s = None;
    let mut picker = picker(PowerOfTwo, &rows);
    let _ = picker.on_sent(NOW, rows[0].id, &prompt(5_000).into());
    // The unknown wait counts as the longest, 0.25 s. With own work at the other one it is the
    // shorter wait.
    let decision = picker.choose(NOW, &mut Rng::new(1), &Request::default());
    assert_eq!((first(&decision), decision.wait_s), (1, None));
    let _ = picker.on_sent(NOW, rows[1].id, &prompt(8_000).into());
    let decision = picker.choose(NOW, &mut Rng::new(1), &Request::default());
    assert_eq!((first(&decision), decision.wait_s), (0, Some(0.75)));
}
