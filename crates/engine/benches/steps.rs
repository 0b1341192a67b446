//! Measures what a step costs in real time, at the load that a simulator puts on it.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark that cannot go on has failed; criterion's macros are undocumented"
)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use trimtab_engine::{BLOCK_TOKENS, Engine, Event, Profile, Request};

/// Keeps `running` sequences of 1,000 + 200 tokens going. Ten families of prompts share 320 tokens
/// each.
struct Fleet {
    engine: Engine,
    events: Vec<Event>,
    next: u64,
    live: usize,
    running: usize,
}

impl Fleet {
    fn new(running: usize) -> Self {
        let engine = Engine::new(Profile::named("h100").unwrap()).unwrap();
        let mut fleet = Self {
            engine,
            events: vec![],
            next: 0,
            live: 0,
            running,
        };
        for _ in 0..500 {
            fleet.step();
        }
        assert_eq!(fleet.engine.gauges().running as usize, running);
        fleet
    }

    fn step(&mut self) -> f64 {
        while self.live < self.running {
            self.engine.submit(request(self.next)).unwrap();
            self.next += 1;
            self.live += 1;
        }
        self.events.clear();
        let plan = self.engine.begin_step(&mut self.events).unwrap();
        self.engine.finish_step(&mut self.events);
        let ends = |event: &&Event| matches!(event, Event::Token { finished: true, .. });
        self.live -= self.events.iter().filter(ends).count();
        plan.duration_s
    }
}

fn request(id: u64) -> Request {
    let mix = |value: u64| {
        value
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
    };
    let blocks = u64::from(1_200 / BLOCK_TOKENS);
    let chain = (0..blocks)
        .map(|b| {
            if b < 20 {
                mix((id % 10) << 32 | (b + 1))
            } else {
                mix((id + 100) << 32 | b)
            }
        })
        .collect();
    Request {
        id,
        prompt_tokens: 1_000,
        output_tokens: 200,
        chain,
        adapter: None,
    }
}

fn steps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("step");
    for running in [8, 64, 250] {
        group.throughput(Throughput::Elements(running as u64));
        let mut fleet = Fleet::new(running);
        group.bench_function(format!("{running}_sequences"), |bencher| {
            bencher.iter(|| black_box(fleet.step()))
        });
        // Ten families share 20 blocks each. All but the first request of a family find 320 of
        // 1,000 tokens.
        let counters = fleet.engine.counters();
        let hit_ratio = counters.prefix_hit_tokens as f64 / counters.prefix_query_tokens as f64;
        assert!((0.25..=0.32).contains(&hit_ratio), "{hit_ratio}");
    }
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
