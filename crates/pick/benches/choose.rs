//! What a decision and a new table cost, by size of the pool. `cargo bench -p trimtab-pick`

mod pool;

use std::hint::black_box;
use std::rc::Rc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use pool::{facts, requests, rows};
use trimtab_pick::{Config, EndpointId, Millis, Picker, Rng, Snapshot};

const SIZES: [u64; 4] = [10, 100, 1_000, 5_000];

fn picker(count: u64) -> Picker {
    let mut picker = Picker::new(Config::default());
    let snapshot = Snapshot::new(rows(count), facts(count), Millis(0));
    picker.on_table(Rc::new(snapshot), None);
    picker
}

fn choose(c: &mut Criterion) {
    let requests = requests();
    for (name, now) in [("choose", Millis(50)), ("choose_stale", Millis(60_000))] {
        let mut group = c.benchmark_group(name);
        for size in SIZES {
            let (mut picker, mut rng, mut at) = (picker(size), Rng::new(1), 0_usize);
            assert_eq!(
                picker
                    .choose(now, &mut rng, &requests[0])
                    .choices
                    .as_slice()
                    .len(),
                3
            );
            group.bench_function(BenchmarkId::from_parameter(size), |b| {
                b.iter(|| {
                    at = (at + 1) % requests.len();
                    black_box(picker.choose(now, &mut rng, &requests[at]))
                });
            });
        }
        group.finish();
    }
}

/// One request through all of its steps, as the proxy makes them.
fn request(c: &mut Criterion) {
    let (requests, mut picker, mut rng, mut at) = (requests(), picker(100), Rng::new(1), 0_usize);
    let ids: Vec<EndpointId> = rows(100).iter().map(|row| row.id).collect();
    c.bench_function("choose_send_first_byte_done/100", |b| {
        b.iter(|| {
            at = (at + 1) % requests.len();
            let decision = picker.choose(Millis(50), &mut rng, &requests[at]);
            let id = ids[decision.choices.as_slice()[0] as usize];
            let mut ticket = picker.on_sent(Millis(50), id, &decision.booking);
            picker.on_first_byte(Millis(60), &mut ticket);
            picker.on_done(ticket);
        });
    });
    assert_eq!(picker.own_work().count(), 0);
}

fn new_table(c: &mut Criterion) {
    for name in ["index", "index_after"] {
        let mut group = c.benchmark_group(name);
        for size in SIZES {
            let (rows, facts) = (rows(size), facts(size));
            let first = Snapshot::new(rows.clone(), facts, Millis(0));
            assert_eq!(first.endpoints().len() as u64, size);
            let before = (name == "index_after").then_some(&first);
            group.bench_function(BenchmarkId::from_parameter(size), |b| {
                b.iter_batched(
                    || rows.clone(),
                    |rows| Snapshot::with_previous(rows, facts, Millis(0), before),
                    criterion::BatchSize::LargeInput,
                );
            });
        }
        group.finish();
    }
}

criterion_group!(benches, choose, request, new_table);
criterion_main!(benches);
