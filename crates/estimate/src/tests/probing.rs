//! Endpoints whose page is missing or stands still, and the proxies that try them out.

use crate::{Counters, EndpointSpec, Missed, Pool, PoolConfig, Sample};
use std::time::Duration;
use trimtab_loadtable::{Doubt, Endpoint, EndpointReport, Probe, Report, State, Table};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const A: &str = "10.0.0.1:8000";
const B: &str = "10.0.0.2:8000";

/// A pool of A, whose page is read, and B, whose page is not, with two proxies.
struct World {
    pool: Pool,
    now_ms: u64,
    /// By proxy: what it reports of B.
    said: [EndpointReport; 2],
    sequence: u64,
    missed: Option<Missed>,
    decides: [bool; 2],
}

impl World {
    fn new(missed: Option<Missed>) -> Self {
        let mut pool = Pool::new(PoolConfig::new("chat", 7, [1; 16]));
        let spec = |address: &str| EndpointSpec {
            address: address.into(),
            ..EndpointSpec::default()
        };
        let _ = pool.set_endpoints(Duration::ZERO, vec![spec(A), spec(B)]);
        let said = || EndpointReport {
            address: B.into(),
            ..EndpointReport::default()
        };
        Self {
            pool,
            now_ms: 0,
            said: [said(), said()],
            sequence: 0,
            missed,
            decides: [true, true],
        }
    }

    /// Moves on by 100 ms: both endpoints are scraped, and both proxies report.
    fn step(&mut self) -> Table {
        self.now_ms += 100;
        let now = Duration::from_millis(self.now_ms);
        self.sequence += 1;
        let sample = |tokens: u64| Sample {
            waiting: Some(0.0),
            running: Some(0.0),
            counters: Counters {
                generation_tokens: Some(tokens as f64),
                ..Counters::default()
            },
            ..Sample::default()
        };
        self.pool.on_sample(now, A, sample(self.now_ms));
        match self.missed {
            Some(missed) => self.pool.on_scrape_failed(now, B, missed),
            None => self.pool.on_sample(now, B, sample(self.now_ms)),
        }
        for ((proxy, said), decides) in (1..).zip(&self.said).zip(self.decides) {
            let report = Report {
                pool: "chat".into(),
                proxy,
                sequence: self.sequence,
                workers: 1,
                decided: if decides { self.sequence } else { 0 },
                endpoints: vec![said.clone()],
                ..Report::default()
            };
            self.pool.on_report(now, &report).unwrap();
        }
        self.pool.table(now)
    }

    fn steps(&mut self, count: usize) -> Table {
        (1..count).for_each(|_| drop(self.step()));
        self.step()
    }

    /// Lets the proxy send a request for the probe. `failed`: how the answer ends at once. Absent:
    /// it does not end yet.
    fn obey(&mut self, probe: Probe, failed: Option<bool>) {
        let said = &mut self.said[probe.proxy as usize - 1];
        said.sent += 1;
        match failed {
            None => said.in_flight += 1,
            Some(failed) => {
                said.started += 1;
                said.finished += 1;
                said.failed += u64::from(failed);
            }
        }
    }
}

fn b(table: &Table) -> &Endpoint {
    &table.endpoints[1]
}

#[test]
fn who_answers_without_metrics_is_tried_out_by_one_proxy_and_then_used() {
    let mut world = World::new(Some(Missed::Unreadable));
    let table = world.steps(6);
    let expected = (State::Suspect, Some(Doubt::Unreadable));
    assert_eq!((b(&table).state, b(&table).doubt), expected);
    let [probe] = table.probes[..] else {
        panic!("{:?}", table.probes)
    };
    assert_eq!(probe.endpoint, 1);
    world.obey(probe, Some(false));
    let table = world.step();
    assert_eq!((b(&table).state, b(&table).doubt), (State::Ready, None));
    assert!(table.probes.is_empty());
    // Its wait is that of what proxies have there.
    assert_eq!((b(&table).waiting, b(&table).running), (None, None));
    assert_eq!(b(&table).wait_ms, Some(0));
    assert!(b(&table).age_ms <= 100, "{}", b(&table).age_ms);
    let table = world.steps(3_000);
    assert_eq!(b(&table).state, State::Ready, "after five minutes");
}

#[test]
fn where_requests_are_rare_whoever_decided_lately_is_asked_and_for_longer() {
    let mut world = World::new(Some(Missed::Unreadable));
    world.steps(6);
    world.decides = [false, false];
    world.steps(50);
    let asked: Vec<Probe> = (0..300).flat_map(|_| world.step().probes).collect();
    let mut numbers: Vec<u64> = asked.iter().map(|probe| probe.number).collect();
    numbers.dedup();
    assert_eq!(asked.len(), 300, "somebody is asked all the time");
    assert!((3..=5).contains(&numbers.len()), "{numbers:?}");
    // A proxy that has decided nothing for minutes is not asked.
    world.steps(1_000);
    assert!(world.step().probes.is_empty());
}

#[test]
fn whoever_does_not_send_anything_passes_it_on_and_idle_proxies_are_not_asked() {
    let mut world = World::new(Some(Missed::Unreadable));
    let asked: Vec<Probe> = (0..60).flat_map(|_| world.step().probes).collect();
    let mut proxies: Vec<u64> = asked.iter().map(|probe| probe.proxy).collect();
    proxies.dedup();
    assert!(proxies.len() >= 4, "{proxies:?}");
    assert!(
        asked
            .windows(2)
            .all(|pair| { (pair[0].proxy == pair[1].proxy) == (pair[0].number == pair[1].number) })
    );
    world.decides = [false, true];
    world.steps(40);
    assert!((0..40).all(|_| world.step().probes.iter().all(|probe| probe.proxy == 2)));
}

#[test]
fn one_that_only_fails_is_tried_ever_less_and_one_that_hangs_is_not_asked_twice() {
    let mut world = World::new(Some(Missed::Unreadable));
    let mut tried_at = Vec::new();
    for _ in 0..6_000 {
        let table = world.step();
        assert_eq!(b(&table).state, State::Suspect);
        if let [probe] = table.probes[..] {
            tried_at.push(world.now_ms);
            world.obey(probe, Some(true));
        }
    }
    // In ten minutes: after 1, 2, 4, 8, 16, 32, 60, 60 s and so on.
    assert!((13..=16).contains(&tried_at.len()), "{tried_at:?}");
    let mut world = World::new(Some(Missed::Unreadable));
    let mut tries = 0;
    for _ in 0..600 {
        if let [probe] = world.step().probes[..] {
            tries += 1;
            world.obey(probe, None);
        }
    }
    assert_eq!(tries, 1, "the first request is still there");
}

#[test]
fn who_does_not_answer_at_all_is_not_tried_out_and_used_only_while_proxies_get_answers() {
    let mut world = World::new(Some(Missed::Unreachable));
    let table = world.steps(30);
    let expected = (State::Suspect, Some(Doubt::Unreachable));
    assert_eq!((b(&table).state, b(&table).doubt), expected);
    assert!(table.probes.is_empty());
    // An endpoint that was never read is not stalled, whenever it was listed.
    let late = EndpointSpec {
        address: "10.0.0.3:8000".into(),
        ..EndpointSpec::default()
    };
    let specs = [A, B].map(|address| EndpointSpec {
        address: address.into(),
        ..EndpointSpec::default()
    });
    let _ = world.pool.set_endpoints(
        Duration::from_millis(world.now_ms),
        [specs.to_vec(), vec![late]].concat(),
    );
    let joined = &world.step().endpoints[2];
    assert_eq!((joined.state, joined.doubt), (State::Suspect, None));
    // A working server's page is lost.
    let mut world = World::new(None);
    world.steps(10);
    world.missed = Some(Missed::Unreachable);
    for step in 0..100 {
        let said = &mut world.said[0];
        said.sent += 1;
        said.started += 1;
        said.finished += 1;
        let state = b(&world.step()).state;
        // Answers from before the loss are reported late. Scrapes that are 200 ms apart do not fail
        // three times within that time.
        assert!(state == State::Ready || step < 4, "step {step}");
    }
    let states: Vec<State> = (0..150).map(|_| b(&world.step()).state).collect();
    let ready = states
        .iter()
        .filter(|state| **state == State::Ready)
        .count();
    assert!((90..=110).contains(&ready), "for ten seconds: {ready}");
}

#[test]
fn one_that_hung_is_tried_out_when_everybody_has_left() {
    let mut world = World::new(None);
    world.steps(10);
    world.said[0].sent += 1;
    world.said[0].in_flight = 1;
    // Its page stands still.
    let frozen = Sample {
        waiting: Some(0.0),
        running: Some(1.0),
        counters: Counters {
            generation_tokens: Some(1_000.0),
            ..Counters::default()
        },
        ..Sample::default()
    };
    let hangs = |world: &mut World| {
        world.missed = Some(Missed::Unreadable);
        world.step();
        let now = Duration::from_millis(world.now_ms);
        world.pool.on_sample(now, B, frozen.clone());
        world.pool.table(now)
    };
    let tables: Vec<Table> = (0..40).map(|_| hangs(&mut world)).collect();
    let last = &tables[39];
    let expected = (State::Suspect, Some(Doubt::Stalled));
    assert_eq!((b(last).state, b(last).doubt), expected);
    assert!(last.probes.is_empty(), "somebody waits there already");
    world.said[0].in_flight = 0;
    world.said[0].finished += 1;
    world.said[0].failed += 1;
    let tables: Vec<Table> = (0..40).map(|_| hangs(&mut world)).collect();
    assert!(tables.iter().all(|table| b(table).state == State::Suspect));
    let [probe] = tables[39].probes[..] else {
        panic!("{:?}", tables[39].probes)
    };
    world.obey(probe, Some(false));
    assert_eq!(b(&hangs(&mut world)).state, State::Ready);
}

#[test]
fn gauges_that_stand_still_where_nobody_has_anything_are_not_believed() {
    let mut world = World::new(None);
    world.steps(10);
    let full = Sample {
        waiting: Some(20.0),
        running: Some(8.0),
        kv_used: Some(0.9),
        counters: Counters {
            generation_tokens: Some(1_000.0),
            ..Counters::default()
        },
        ..Sample::default()
    };
    let mut tables = Vec::new();
    for _ in 0..30 {
        world.missed = Some(Missed::Unreadable);
        world.step();
        let now = Duration::from_millis(world.now_ms);
        world.pool.on_sample(now, B, full.clone());
        tables.push(world.pool.table(now));
    }
    assert!(b(&tables[5]).wait_ms > Some(100), "{:?}", b(&tables[5]));
    let last = b(&tables[29]);
    assert_eq!((last.state, last.doubt), (State::Ready, None));
    assert_eq!(
        (last.waiting, last.running, last.kv_used),
        (None, None, None)
    );
    assert_eq!(last.wait_ms, Some(0));
}

#[test]
fn who_answers_too_late_for_a_page_is_tried_out_and_then_used() {
    let mut world = World::new(Some(Missed::Late));
    let table = world.steps(6);
    let expected = (State::Suspect, Some(Doubt::Late));
    assert_eq!((b(&table).state, b(&table).doubt), expected);
    let [probe] = table.probes[..] else {
        panic!("{:?}", table.probes)
    };
    world.obey(probe, Some(false));
    assert_eq!(b(&world.step()).state, State::Ready);
    assert_eq!(b(&world.steps(3_000)).state, State::Ready);
    // An endpoint whose server does not answer any scrape is not used for long.
    world.missed = Some(Missed::Unreachable);
    let table = world.steps(200);
    let expected = (State::Suspect, Some(Doubt::Unreachable));
    assert_eq!((b(&table).state, b(&table).doubt), expected);
    assert!(table.probes.is_empty());
}

#[test]
fn who_was_never_read_nor_served_does_not_hang_however_late_the_first_table_is() {
    let ms = Duration::from_millis;
    for (missed, doubt) in [
        (Missed::Unreachable, Doubt::Unreachable),
        (Missed::Unreadable, Doubt::Unreadable),
        (Missed::Late, Doubt::Late),
    ] {
        let mut world = World::new(Some(missed));
        world.now_ms = 3_000;
        // The same while a request waits there.
        world.said[0].in_flight = 1;
        for _ in 0..100 {
            let table = world.step();
            assert_eq!(b(&table).doubt, Some(doubt));
        }
        world.said[0].in_flight = 0;
        assert_eq!(b(&world.steps(20)).doubt, Some(doubt));
    }
    // An idle endpoint is not stalled either, however seldom tables are made.
    let mut world = World::new(None);
    world.steps(3);
    for _ in 0..20 {
        world.now_ms += 5_000;
        let idle = Sample {
            waiting: Some(0.0),
            running: Some(0.0),
            counters: Counters {
                generation_tokens: Some(300.0),
                ..Counters::default()
            },
            ..Sample::default()
        };
        world.pool.on_sample(ms(world.now_ms), B, idle);
        assert_eq!(b(&world.pool.table(ms(world.now_ms))).doubt, None);
    }
}
