//! What a decision and a new table cost, by size of the pool. `cargo bench -p trimtab-pick`

use std::hint::black_box;
use std::rc::Rc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use trimtab_pick::{
    Adapter, Config, Conversation, EndpointId, EndpointLoad, Millis, Picker, PoolFacts, Prefix,
    Request, Rng, Snapshot, State,
};

const SIZES: [u64; 4] = [10, 100, 1_000, 5_000];

fn rows(count: u64) -> Vec<EndpointLoad> {
    let mut rng = Rng::new(count);
    let row = |_| EndpointLoad {
        id: EndpointId(rng.next_u64()),
        state: State::Ready,
        wait_s: Some((rng.unit() * 0.5) as f32),
        waiting: Some(2),
        running: Some(40),
        kv_used: Some(0.6),
        prefill_tokens_per_s: Some(11_000.0),
        decode_s_per_sequence: Some(0.005),
        speed: Some(1.0),
        adapters: Some(vec![0, 3, 7]),
        age_ms: 100,
    };
    (0..count).map(row).collect()
}

fn requests() -> Vec<Request> {
    let mut rng = Rng::new(9);
    let request = |_| Request {
        prompt_tokens: Some(2_500),
        streams: Some(true),
        prefix: Some(Prefix {
            key: rng.next_u64(),
            tokens: 1_000,
        }),
        conversation: Some(Conversation {
            key: rng.next_u64(),
            history_tokens: 2_000,
        }),
        adapter: Some(Adapter {
            key: rng.next_u64(),
            index: Some(3),
        }),
    };
    (0..1_024).map(request).collect()
}

fn picker(count: u64) -> Picker {
    let mut picker = Picker::new(Config::default());
    picker.on_table(Rc::new(Snapshot::new(
        rows(count),
        PoolFacts::default(),
        Millis(0),
    )), None);
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

/// One request through all of its steps, as the proxy sees it.
fn request(c: &mut Criterion) {
    let (requests, mut picker, mut rng, mut at) = (requests(), picker(100), Rng::new(1), 0_usize);
    let ids: Vec<EndpointId> = rows(100).iter().map(|row| row.id).collect();
    c.bench_function("choose_send_first_byte_done/100", |b| {
        b.iter(|| {
            at = (at + 1) % requests.len();
            let decision = picker.choose(Millis(50), &mut rng, &requests[at]);
            let id = ids[decision.choices.as_slice()[0] as usize];
            let mut ticket = picker.on_sent(Millis(50), id, &requests[at]);
            picker.on_first_byte(Millis(60), &mut ticket);
            picker.on_done(Millis(70), ticket);
        });
    });
    assert_eq!(picker.own_work().count(), 0);
}

fn new_table(c: &mut Criterion) {
    let mut group = c.benchmark_group("index");
    for size in SIZES {
        let rows = rows(size);
        assert_eq!(
            Snapshot::new(rows.clone(), PoolFacts::default(), Millis(0))
                .endpoints()
                .len() as u64,
            size
        );
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter_batched(
                || rows.clone(),
                |rows| Snapshot::new(rows, PoolFacts::default(), Millis(0)),
                criterion::BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, choose, request, new_table);
criterion_main!(benches);
