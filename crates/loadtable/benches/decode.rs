//! What a table costs, by number of endpoints: bytes on the wire, decoding, indexing. `cargo bench -p trimtab-loadtable`

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use trimtab_loadtable::{Class, Demand, Endpoint, Table, Version, snapshot, snapshot_after};
use trimtab_pick::{Millis, Rng};

fn below(rng: &mut Rng, bound: u64) -> u32 {
    (rng.next_u64() % bound) as u32
}

/// A busy pool: every signal present.
fn table(endpoints: u32) -> Table {
    let mut rng = Rng::new(u64::from(endpoints));
    let zone: Arc<str> = "eu-west-1a".into();
    let row = |number: u32| Endpoint {
        address: format!(
            "10.{}.{}.{}:8000",
            number >> 14,
            number >> 7 & 127,
            number & 127
        ),
        class: Some(0),
        age_ms: below(&mut rng, 200),
        wait_ms: Some(below(&mut rng, 2_000)),
        waiting: Some(below(&mut rng, 10)),
        running: Some(below(&mut rng, 200)),
        kv_used: Some(127.0 / 254.0),
        prefill_busy: Some(true),
        in_flight: Some(below(&mut rng, 200)),
        pending_tokens: Some(below(&mut rng, 30_000)),
        kv_blocks: Some(25_000),
        kv_block_tokens: Some(16),
        batch_limit: Some(256),
        zone: Arc::clone(&zone),
        ..Endpoint::default()
    };
    let mut rows: Vec<Endpoint> = (0..endpoints).map(row).collect();
    rows.sort_by(|a, b| a.address.cmp(&b.address));
    let class = Class {
        name: "a100".to_owned(),
        prefill_tokens_per_s: Some(11_000.0),
        decode_s_per_sequence: Some(0.005),
        speed: Some(1.0),
    };
    Table {
        pool: "bench".to_owned(),
        version: Version {
            epoch: 1,
            sequence: 1,
        },
        age_ms: 10,
        deciders: Some(100),
        demand: Demand::default(),
        placement_key: [7; 16],
        classes: vec![class],
        adapters: Vec::new(),
        endpoints: rows,
        heat: None,
        moved: None,
    }
}

/// Bytes per endpoint: of the whole row, and of the part that changes with every table.
fn sizes(table: &Table) -> (f64, f64) {
    let still: Vec<Endpoint> = table
        .endpoints
        .iter()
        .map(|row| Endpoint {
            address: row.address.clone(),
            class: row.class,
            kv_blocks: row.kv_blocks,
            kv_block_tokens: row.kv_block_tokens,
            batch_limit: row.batch_limit,
            zone: row.zone.clone(),
            ..Endpoint::default()
        })
        .collect();
    let (all, rows) = (table.encode().len(), table.endpoints.len() as f64);
    let fixed = Table {
        endpoints: still,
        ..table.clone()
    }
    .encode()
    .len();
    (all as f64 / rows, (all - fixed) as f64 / rows)
}

fn wire(c: &mut Criterion) {
    for endpoints in [10, 100, 1_000, 5_000] {
        let table = table(endpoints);
        let bytes = table.encode();
        assert_eq!(Table::decode(&bytes).as_ref(), Ok(&table));
        let (row, dynamic) = sizes(&table);
        println!(
            "{endpoints} endpoints: {row:.1} bytes per endpoint, {dynamic:.1} of them change with every table"
        );
        let id = |name| format!("{name}/{endpoints}");
        c.bench_function(&id("encode"), |b| b.iter(|| black_box(&table).encode()));
        c.bench_function(&id("decode"), |b| {
            b.iter(|| Table::decode(black_box(&bytes)))
        });
        c.bench_function(&id("snapshot"), |b| {
            b.iter(|| snapshot(black_box(&table), Millis(0)))
        });
        let before = snapshot(&table, Millis(0));
        c.bench_function(&id("snapshot_after"), |b| {
            b.iter(|| snapshot_after(black_box(&table), Millis(0), Some(&before)))
        });
    }
}

criterion_group!(benches, wire);
criterion_main!(benches);
