//! Whatever servers and proxies send, and in whatever order of times, a table passes its check and
//! honest rows stay honest.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helper fails by panicking"
)]

use proptest::prelude::*;
use std::time::Duration;
use trimtab_estimate::{
    Adapters, Counters, EndpointSpec, Missed, Pool, PoolConfig, Sample, SumCount,
};
use trimtab_loadtable::{EndpointReport, Report, State};

const HONEST: &str = "10.0.0.1:8000";
const LIAR: &str = "10.0.0.2:8000";

// Boxed, because otherwise the nested strategies are larger than a test's stack.
fn wild() -> BoxedStrategy<Option<f64>> {
    prop_oneof![
        Just(None),
        any::<f64>().prop_map(Some),
        (0.0f64..1e4).prop_map(Some),
        Just(Some(f64::NAN)),
        Just(Some(f64::INFINITY)),
        Just(Some(-1.0)),
        Just(Some(9.2e18)),
    ]
    .boxed()
}

fn pair() -> BoxedStrategy<Option<SumCount>> {
    let pair = (wild(), wild()).prop_map(|(sum, count)| {
        Some(SumCount {
            sum: sum?,
            count: count?,
        })
    });
    pair.boxed()
}

prop_compose! {
    fn counters()(p in wild(), c in wild(), q in wild(), h in wild(), g in wild(), f in wild(),
                  s in pair(), t in pair(), i in pair(), e in pair()) -> Counters {
        Counters {
            prompt_tokens: p, cached_tokens: c, prefix_queries: q, prefix_hits: h, generation_tokens: g, finished: f,
            step_tokens: s, ttft_s: t, itl_s: i, e2e_s: e,
        }
    }
}

prop_compose! {
    fn sample()(w in wild(), r in wild(), k in wild(), b in wild(), t in wild(), l in wild(), q in wild(), s in wild(),
                counters in counters().boxed(), names in prop::collection::vec(".{0,6}", 0..4), slots in any::<Option<u32>>(),
                awake in any::<Option<bool>>()) -> Sample {
        Sample {
            waiting: w, running: r, kv_used: k, kv_blocks: b, kv_block_tokens: t, batch_limit: l, queued_tokens: q,
            start_time_s: s, awake, counters, adapters: Some(Adapters { running: names, waiting: Vec::new(), slots, loaded: None }),
        }
    }
}

prop_compose! {
    fn report()(proxy in 0u64..4, sequence in any::<u64>(), workers in any::<u32>(), decided in any::<u64>(),
                sent in any::<u64>(), started in any::<u64>(), finished in any::<u64>(), in_flight in any::<u32>(),
                pending_tokens in any::<u32>()) -> Report {
        let address = LIAR.to_owned();
        let endpoints = vec![EndpointReport { address, in_flight, pending_tokens, sent, started, finished, failed: 0, seen: Vec::new(), pending: in_flight, sent_tokens: sent }];
        Report { pool: "p".into(), proxy, sequence, workers, decided, endpoints, ..Report::default() }
    }
}

#[derive(Debug, Clone)]
enum Event {
    Sample(Box<Sample>),
    LateSample(u64, Box<Sample>),
    Report(Report),
    Failed(Missed),
    Table,
}

fn event() -> BoxedStrategy<Event> {
    prop_oneof![
        sample()
            .boxed()
            .prop_map(|sample| Event::Sample(Box::new(sample))),
        (0u64..20_000, sample().boxed())
            .prop_map(|(asked_ms, sample)| Event::LateSample(asked_ms, Box::new(sample))),
        report().prop_map(Event::Report),
        Just(Event::Failed(Missed::Unreachable)),
        Just(Event::Failed(Missed::Unreadable)),
        Just(Event::Failed(Missed::Late)),
        Just(Event::Table),
    ]
    .boxed()
}

proptest! {
    #[test]
    fn any_history_gives_a_valid_table(events in prop::collection::vec((0u64..10_000, event()), 1..60)) {
        let mut pool = Pool::new(PoolConfig::new("p", 1, [0; 16]));
        let spec = |address: &str, class: &str| EndpointSpec { address: address.into(), class: class.into(), ..EndpointSpec::default() };
        let _ = pool.set_endpoints(Duration::ZERO, vec![spec(HONEST, "a"), spec(LIAR, "b")]);
        for (at_ms, event) in events {
            // Times come in any order.
            let now = Duration::from_millis(at_ms);
            pool.on_sample(now, HONEST, Sample { waiting: Some(1.0), running: Some(4.0), ..Sample::default() });
            match event {
                Event::Sample(sample) => pool.on_sample(now, LIAR, *sample),
                Event::LateSample(asked_ms, sample) => {
                    pool.on_late_sample(now, Duration::from_millis(asked_ms), LIAR, *sample);
                }
                Event::Report(report) => drop(pool.on_report(now, &report)),
                Event::Failed(missed) => pool.on_scrape_failed(now, LIAR, missed),
                Event::Table => drop(pool.table(now)),
            }
            let table = pool.table(now);
            prop_assert_eq!(table.check(), Ok(()));
            let decoded = trimtab_loadtable::Table::decode(&table.encode());
            prop_assert!(decoded.is_ok(), "{:?}", decoded);
            let [honest, liar] = table.endpoints.as_slice() else { panic!("two rows") };
            prop_assert_eq!((honest.waiting, honest.running), (Some(1), Some(4)));
            prop_assert!(honest.wait_ms.is_some());
            // A row has a wait only with what it is made of: its gauges or, where it shows none,
            // what proxies have there.
            let shown = (liar.waiting.is_some(), liar.running.is_some());
            let by_reports = liar.state == State::Ready && liar.in_flight.is_some();
            let expected = shown == (true, true) || shown == (false, false) && by_reports;
            prop_assert_eq!(liar.wait_ms.is_some(), expected);
            for class in &table.classes {
                let speed = class.prefill_tokens_per_s.unwrap();
                prop_assert!((10.0..=1e6).contains(&speed), "{speed}");
            }
        }
    }
}
