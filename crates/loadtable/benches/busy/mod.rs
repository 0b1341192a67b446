//! The table of a busy pool with nearly every signal, for measuring tables.

use std::sync::Arc;

use trimtab_loadtable::{Class, Demand, Endpoint, Table, Version};
use trimtab_pick::Rng;

fn below(rng: &mut Rng, bound: u64) -> u32 {
    (rng.next_u64() % bound) as u32
}

pub(crate) fn table(endpoints: u32) -> Table {
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
        kv_used: Some(below(&mut rng, 255) as f32 / 254.0),
        prefill_busy: Some(below(&mut rng, 2) == 1),
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
        probes: vec![],
        held: vec![],
    }
}
