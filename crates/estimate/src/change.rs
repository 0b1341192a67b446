//! Says whether a table differs enough from the last to be sent.

use std::collections::BTreeSet;
use std::time::Duration;

use trimtab_loadtable::{Class, Demand, Endpoint, Hot, Moved, Table};

/// A change of a wait is worth a table when the milliseconds by which it moved, times the
/// milliseconds since the last table, reach this. In the simulator (32 endpoints, 100 proxies,
/// loads of 10 to 85 %) this sends a third to two thirds of the tables that a fixed interval of 50
/// ms sends, with the same p99 TTFT. Twice as much costs 4 % of p99 where prompts are long.
const MOVED_X_AGE_MS2: u128 = 4_000;
/// A wait that moved by fewer milliseconds changes no decision that matters.
const LEAST_MOVE_MS: u128 = 20;
/// Signals that change slowly, or matter for requests seconds later, are sent this long after the
/// last table.
const SLOW: Duration = Duration::from_millis(200);
/// Measured means and speeds fluctuate. A change by less than this share of the larger value does
/// not count.
const PART: f32 = 0.1;
/// Below this many requests per second a pool's arrivals do not matter: rates decay for minutes.
const LEAST_RATE: f32 = 1.0;
/// The same for shares of traffic, which fluctuate more.
const HEAT_PART: f32 = 0.25;
/// Changes of the KV usage up to this do not count.
const KV_PART: f32 = 0.05;

/// Whether `now` tells a picker enough that `before` did not. `age` is that of `before`. Ages do
/// not count, nor do signals by which no picker decides while there is a predicted wait.
pub(crate) fn tells(before: &Table, now: &Table, age: Duration) -> bool {
    before.version.epoch != now.version.epoch
        || before.pool != now.pool
        || before.placement_key != now.placement_key
        || before.deciders != now.deciders
        || before.adapters != now.adapters
        || before.probes != now.probes
        || more_held(before, now)
        || differ(&before.endpoints, &now.endpoints, |before, now| {
            row_changed(before, now) || wait_moved(before, now, age)
        })
        || age >= SLOW && slowly_moved(before, now)
}

fn slowly_moved(before: &Table, now: &Table) -> bool {
    demand_moved(&before.demand, &now.demand)
        || differ(&before.classes, &now.classes, class_moved)
        || differ(&before.endpoints, &now.endpoints, kv_moved)
        || heat_moved(before.heat.as_deref(), now.heat.as_deref())
        || more_moved(before, now)
}

fn differ<T>(before: &[T], now: &[T], moved: impl Fn(&T, &T) -> bool) -> bool {
    before.len() != now.len()
        || before
            .iter()
            .zip(now)
            .any(|(before, now)| moved(before, now))
}

/// Whether two values of a signal differ by more than `part` of the larger. Values up to `least`
/// count as equal.
fn apart(before: Option<f32>, now: Option<f32>, part: f32, least: f32) -> bool {
    let (Some(before), Some(now)) = (before, now) else {
        return before.is_some() != now.is_some();
    };
    let (before, now) = (before.max(least), now.max(least));
    (before - now).abs() > part * before.max(now)
}

fn demand_moved(before: &Demand, now: &Demand) -> bool {
    apart(before.arrival_rate, now.arrival_rate, PART, LEAST_RATE)
        || apart(before.prompt_tokens, now.prompt_tokens, PART, 1.0)
        || apart(before.uncached_tokens, now.uncached_tokens, PART, 1.0)
        || apart(before.output_tokens, now.output_tokens, PART, 1.0)
        || before.adapter_load_s != now.adapter_load_s
}

fn class_moved(before: &Class, now: &Class) -> bool {
    let moved = |signal: fn(&Class) -> Option<f32>| apart(signal(before), signal(now), PART, 0.0);
    before.name != now.name
        || moved(|class| class.prefill_tokens_per_s)
        || moved(|class| class.decode_s_per_sequence)
        || moved(|class| class.speed)
}

fn wait_moved(before: &Endpoint, now: &Endpoint, age: Duration) -> bool {
    match (before.wait_ms, now.wait_ms) {
        (Some(before), Some(now)) => {
            let moved_ms = u128::from(before.abs_diff(now));
            moved_ms >= LEAST_MOVE_MS && moved_ms * age.as_millis() >= MOVED_X_AGE_MS2
        }
        // Without a wait, pickers decide by the counts.
        (None, None) => {
            (before.waiting, before.running, before.in_flight)
                != (now.waiting, now.running, now.in_flight)
        }
        _ => true,
    }
}

fn row_changed(before: &Endpoint, now: &Endpoint) -> bool {
    let fixed = |row: &Endpoint| {
        let cache = (row.kv_blocks, row.kv_block_tokens, row.batch_limit);
        let state = (row.state, row.doubt);
        (row.role, state, row.class, row.adapter_room, cache)
    };
    before.address != now.address
        || fixed(before) != fixed(now)
        || before.adapters != now.adapters
        || before.zone != now.zone
}

fn kv_moved(before: &Endpoint, now: &Endpoint) -> bool {
    match (before.kv_used, now.kv_used) {
        (Some(before), Some(now)) => (before - now).abs() > KV_PART,
        (before, now) => before.is_some() != now.is_some(),
    }
}

fn heat_moved(before: Option<&[Hot]>, now: Option<&[Hot]>) -> bool {
    let share = |hot: &Hot| Some(hot.share_ppm as f32);
    let moved = |before: &Hot, now: &Hot| {
        before.key != now.key || apart(share(before), share(now), HEAT_PART, 0.0)
    };
    match (before, now) {
        (Some(before), Some(now)) => differ(before, now, moved),
        (before, now) => before.is_some() != now.is_some(),
    }
}

/// Whether a conversation is newly listed, or is at another endpoint. Conversations that left the
/// list do not count: they were sent before.
fn more_moved(before: &Table, now: &Table) -> bool {
    let (Some(before), Some(now)) = (&before.moved, &now.moved) else {
        return before.moved.is_some() != now.moved.is_some();
    };
    let known: BTreeSet<(u64, u16)> = before
        .iter()
        .map(|moved| (moved.key, moved.endpoint))
        .collect();
    now.iter()
        .any(|moved| !known.contains(&(moved.key, moved.endpoint)))
}

/// Whether something held is newly listed.
fn more_held(before: &Table, now: &Table) -> bool {
    let is_new = |held: &Moved| {
        before
            .held
            .binary_search_by_key(&held.key, |held| held.key)
            .is_err()
    };
    now.held.iter().any(is_new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_loadtable::{State, Version};

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn table() -> Table {
        let row = |port: u16| Endpoint {
            address: format!("10.0.0.1:{port}"),
            class: Some(0),
            wait_ms: Some(100),
            waiting: Some(1),
            running: Some(3),
            kv_used: Some(0.5),
            in_flight: Some(4),
            ..Endpoint::default()
        };
        Table {
            pool: "chat".into(),
            version: Version {
                epoch: 1,
                sequence: 5,
            },
            age_ms: 0,
            deciders: Some(2),
            demand: Demand {
                arrival_rate: Some(40.0),
                uncached_tokens: Some(500.0),
                ..Demand::default()
            },
            placement_key: [1; 16],
            classes: vec![Class {
                name: "H100".into(),
                prefill_tokens_per_s: Some(20_000.0),
                ..Class::default()
            }],
            adapters: vec![],
            endpoints: vec![row(1), row(2)],
            heat: Some(vec![Hot {
                key: 7,
                share_ppm: 100_000,
            }]),
            moved: Some(vec![Moved {
                key: 3,
                endpoint: 1,
            }]),
            probes: vec![],
            held: vec![],
        }
    }

    fn changed(change: impl Fn(&mut Table)) -> Table {
        let mut now = table();
        now.version.sequence += 1;
        change(&mut now);
        now
    }

    /// Returns the age of the last table, in milliseconds, from which on a table changed by
    /// `change` is worth sending. `None`: it never is.
    fn told_after(change: impl Fn(&mut Table)) -> Option<u64> {
        let now = changed(change);
        (0..1_000).find(|ms| tells(&table(), &now, Duration::from_millis(*ms)))
    }

    #[test]
    fn time_that_passes_and_small_moves_are_nothing_new() {
        assert_eq!(told_after(|_| ()), None);
        let small = |table: &mut Table| {
            table.age_ms = 9;
            table.demand.arrival_rate = Some(42.0);
            table.classes[0].prefill_tokens_per_s = Some(19_000.0);
            table.heat.as_mut().unwrap()[0].share_ppm = 90_000;
            let row = &mut table.endpoints[0];
            (row.age_ms, row.wait_ms, row.kv_used) = (70, Some(119), Some(0.53));
            (row.running, row.in_flight, row.pending_tokens) = (Some(4), Some(5), Some(800));
        };
        assert_eq!(told_after(small), None);
        let told_the_last_time = |table: &mut Table| table.moved = Some(vec![]);
        assert_eq!(told_after(told_the_last_time), None);
    }

    #[test]
    fn a_pool_that_falls_asleep_ends_to_tell() {
        let rate = |per_s| changed(|table| table.demand.arrival_rate = Some(per_s));
        assert!(tells(&rate(40.0), &rate(20.0), SLOW));
        assert!(!tells(&rate(0.9), &rate(1e-9), SLOW));
    }

    #[test]
    fn the_more_a_wait_moved_the_sooner_it_is_told() {
        for (wait_ms, after_ms) in [
            (5_000, 1),
            (180, 50),
            (140, 100),
            (120, 200),
            (80, 200),
            (20, 50),
        ] {
            let told = told_after(|table| table.endpoints[1].wait_ms = Some(wait_ms));
            assert_eq!(told, Some(after_ms), "{wait_ms}");
        }
    }

    #[test]
    fn what_there_is_to_choose_from_is_told_at_once() {
        let changes: [fn(&mut Table); 9] = [
            |table| table.version.epoch = 2,
            |table| table.deciders = Some(3),
            |table| table.deciders = None,
            |table| table.placement_key = [2; 16],
            |table| table.adapters = vec!["a".into()],
            |table| table.endpoints.truncate(1),
            |table| table.endpoints[1].state = State::Draining,
            |table| table.endpoints[1].adapter_room = Some(true),
            |table| table.endpoints[1].wait_ms = None,
        ];
        for (number, change) in changes.iter().enumerate() {
            assert_eq!(told_after(change), Some(0), "change {number}");
        }
    }

    #[test]
    fn what_changes_slowly_is_told_later() {
        let changes: [fn(&mut Table); 8] = [
            |table| table.demand.arrival_rate = Some(60.0),
            |table| table.demand.prompt_tokens = Some(9_000.0),
            |table| table.demand.uncached_tokens = None,
            |table| table.classes[0].prefill_tokens_per_s = Some(10_000.0),
            |table| table.endpoints[1].kv_used = Some(0.6),
            |table| table.heat = Some(vec![]),
            |table| table.moved.as_mut().unwrap()[0].endpoint = 0,
            |table| table.moved = None,
        ];
        for (number, change) in changes.iter().enumerate() {
            assert_eq!(told_after(change), Some(200), "change {number}");
        }
    }

    #[test]
    fn without_a_wait_the_counts_are_told() {
        let silent = |running| {
            changed(|table| {
                for row in &mut table.endpoints {
                    (row.wait_ms, row.running) = (None, running);
                }
            })
        };
        let tells = |before, now| tells(&silent(before), &silent(now), Duration::ZERO);
        assert!(!tells(Some(1), Some(1)));
        assert!(tells(Some(1), Some(2)) && tells(Some(1), None));
    }
}
