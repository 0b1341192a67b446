//! Turns of the round robin.

use std::rc::Rc;

use trimtab_baselines::RoundRobin;
use trimtab_pick::{EndpointId, EndpointLoad, Picker, PoolFacts, Request, Rng, Snapshot, State};

use crate::pool::{NOW, assert_close, endpoint, first, picker, pool, show};

fn next(picker: &mut Picker<RoundRobin>, rng: &mut Rng) -> EndpointId {
    let index = first(&picker.choose(NOW, rng, &Request::default()));
    picker.snapshot().unwrap().endpoints()[index].id
}

#[test]
fn each_that_may_be_chosen_has_one_turn_a_round_in_the_order_of_the_list() {
    let mut rows = pool(7);
    rows[0].state = State::Draining;
    rows[4].state = State::Suspect;
    let (mut picker, mut rng) = (picker(RoundRobin::default(), &rows), Rng::new(3));
    let turns: Vec<EndpointId> = (0..50).map(|_| next(&mut picker, &mut rng)).collect();
    let order = [1, 2, 3, 5, 6].map(|at: usize| rows[at].id);
    let start = order.iter().position(|id| *id == turns[0]).unwrap();
    let expected = order.iter().cycle().skip(start);
    assert!(turns.iter().eq(expected.take(50)), "{turns:?}");
}

#[test]
fn the_first_turn_is_anywhere() {
    let table = Rc::new(Snapshot::new(pool(5), PoolFacts::default(), NOW));
    let (mut shares, mut rng) = ([0.0; 5], Rng::new(9));
    for _ in 0..20_000 {
        let mut picker = Picker::with_policy(RoundRobin::default());
        picker.on_table(Rc::clone(&table), None);
        shares[first(&picker.choose(NOW, &mut rng, &Request::default()))] += 1.0 / 20_000.0;
    }
    // Four standard deviations of such a share are 0.0113.
    assert_close(&shares, &[0.2; 5], 0.0113);
}

#[test]
fn a_change_of_the_list_skips_nobody_and_serves_nobody_twice() {
    let mut script = Rng::new(5);
    let (mut rows, mut number) = (pool(6), 6);
    let (mut picker, mut rng) = (picker(RoundRobin::default(), &rows), Rng::new(1));
    let mut last = next(&mut picker, &mut rng);
    for _ in 0..400 {
        let before = rows.clone();
        let at = (script.next_u64() % rows.len() as u64) as usize;
        match script.next_u64() % 3 {
            0 if rows.len() > 2 => drop(rows.remove(at)),
            1 if rows.len() < 20 => {
                rows.insert(at, endpoint(number));
                number += 1;
            }
            _ => {
                let state = &mut rows[at].state;
                *state = match state {
                    State::Ready => State::Draining,
                    _ => State::Ready,
                };
            }
        }
        if rows.iter().all(|row| row.state != State::Ready) {
            rows[0].state = State::Ready;
        }
        show(&mut picker, &rows, NOW);
        let expected = following(last, &before, &rows);
        last = next(&mut picker, &mut rng);
        assert_eq!(last, expected);
    }
}

/// Returns the next ready endpoint behind `last` in the new list. If `last` is gone, the next one
/// behind its old neighbours.
fn following(last: EndpointId, before: &[EndpointLoad], after: &[EndpointLoad]) -> EndpointId {
    let at = before.iter().position(|row| row.id == last).unwrap();
    let mut behind = before[at..].iter().chain(&before[..at]);
    let place = |row: &EndpointLoad| after.iter().position(|other| other.id == row.id);
    // The first endpoint of the old order, from `last` on, that is still there.
    let (kept, place) = behind.find_map(|row| Some((row.id, place(row)?))).unwrap();
    let skip = usize::from(kept == last);
    let mut turns = after[place + skip..].iter().chain(after);
    turns.find(|row| row.state == State::Ready).unwrap().id
}
