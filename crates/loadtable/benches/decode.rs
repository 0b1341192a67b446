//! What a table costs by number of endpoints: bytes on the wire, decoding, indexing. `cargo bench
//! -p trimtab-loadtable`

mod busy;

use std::hint::black_box;

use busy::table;
use criterion::{Criterion, criterion_group, criterion_main};
use trimtab_loadtable::{Endpoint, Table, snapshot, snapshot_after};
use trimtab_pick::Millis;

/// Returns the bytes per endpoint: of the whole row, and of the part that changes with every table.
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
