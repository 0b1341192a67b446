//! Measures how fast long prompts are read: natively, and by the real module in a VM (wasmtime, not
//! V8). The time in the VM includes hostcalls and the decision.
//!
//! Run it with `cargo xtask bench --bench body_facts`.
#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "a benchmark stops at the first surprise"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use trimtab_filter::oracle::prompt_tokens;
use trimtab_loadtable::{Class, Demand, Endpoint, Table, Version};
use trimtab_wasmhost::{Limits, Module, Options, ScriptedProxy};

const PATH: &str = "/v1/chat/completions";
/// Smaller than the largest `decide_after_bytes`, so that the whole body is read.
const BODY_BYTES: usize = 1_000_000;
/// Size of the pieces that a proxy passes on.
const PIECE_BYTES: usize = 16 * 1024;

/// Returns words; with `lines`, in lines of about 100 bytes. In JSON a line's end is an escape.
fn prose(bytes: usize, lines: bool) -> String {
    let words = ["trim", "tab", "on", "a", "rudder", "lets", "light", "hands"];
    let mut text = String::new();
    for number in 0_usize.. {
        if text.len() >= bytes {
            break;
        }
        let end = if lines && number % 20 == 19 {
            "\n"
        } else {
            " "
        };
        text.push_str(words[number * number % 31 % words.len()]);
        text.push_str(end);
    }
    text
}

/// Returns this program's own text, repeated: 8 escapes in 100 bytes, no worse than what agents
/// send.
fn code(bytes: usize) -> String {
    include_str!("body_facts.rs")
        .replace("    ", "\t")
        .chars()
        .cycle()
        .take(bytes)
        .collect()
}

fn chat(contents: impl Iterator<Item = String>) -> Value {
    let roles = ["user", "assistant"].iter().cycle();
    let messages: Vec<Value> = roles
        .zip(contents)
        .map(|(role, content)| json!({"role": role, "content": content}))
        .collect();
    json!({"model": "m", "stream": true, "messages": messages})
}

fn bodies() -> Vec<(&'static str, String)> {
    let short = || (0..BODY_BYTES / 600).map(|_| prose(550, true));
    let image = json!([{"type": "image_url", "image_url": {"url": "A".repeat(BODY_BYTES - 200)}}]);
    let ids: Vec<usize> = (0..BODY_BYTES / 7).map(|id| id * 7_919 % 128_000).collect();
    [
        (
            "one_line",
            chat([prose(BODY_BYTES - 200, false)].into_iter()),
        ),
        (
            "prose",
            chat([prose(BODY_BYTES - 15_000, true)].into_iter()),
        ),
        ("code", chat([code(BODY_BYTES * 9 / 10)].into_iter())),
        ("conversation", chat(short())),
        (
            "image",
            json!({"messages": [{"role": "user", "content": image}]}),
        ),
        ("token_ids", json!({"prompt": ids})),
    ]
    .map(|(name, body)| (name, body.to_string()))
    .into()
}

fn native(c: &mut Criterion) {
    let mut group = c.benchmark_group("body_facts/native");
    for (name, body) in bodies() {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &body, |b, body| {
            b.iter(|| prompt_tokens(PATH, black_box(body.as_bytes()), &[PIECE_BYTES]));
        });
    }
}

fn table() -> Table {
    Table {
        pool: "chat".into(),
        version: Version {
            epoch: 1,
            sequence: 1,
        },
        age_ms: 0,
        deciders: Some(1),
        demand: Demand::default(),
        placement_key: [7; 16],
        classes: vec![Class::default()],
        adapters: vec![],
        endpoints: vec![Endpoint {
            address: "10.0.0.1:8000".into(),
            class: Some(0),
            ..Endpoint::default()
        }],
        heat: None,
        moved: None,
        probes: vec![],
        held: vec![],
    }
}

fn wasm(c: &mut Criterion) {
    let path = std::env::var_os("TRIMTAB_FILTER")
        .expect("TRIMTAB_FILTER does not say where filter.wasm is: run `cargo xtask bench`");
    let limits = Limits {
        fuel_per_callback: None,
        ..Limits::default()
    };
    let module = Module::from_file(path, limits).expect("the filter loads");
    let config = r#"{"pool": "chat", "aggregator": {"cluster": "trimtab_aggregator"}, "decide_after_bytes": 1048576}"#;
    let mut group = c.benchmark_group("body_facts/wasm");
    for (name, body) in bodies() {
        let options = Options {
            // As of a listener whose limit is known to allow it.
            buffer_limit_bytes: 2 << 20,
            ..Options::default()
        };
        let mut proxy = ScriptedProxy::start(&module, config, 1, options).expect("starts");
        assert!(proxy.deliver(&table().encode()), "takes the table");
        let vm = proxy.vm();
        let mut once = || {
            let mut exchange = vm.request().leave_open();
            let mut spent = Duration::ZERO;
            for piece in body.as_bytes().chunks(PIECE_BYTES) {
                assert!(exchange.request_headers.is_none(), "all of it is read");
                let started = Instant::now();
                exchange.body(vm, piece, false);
                spent += started.elapsed();
            }
            assert!(exchange.request_headers.is_some(), "it is placed");
            exchange.body(vm, b"", true);
            exchange.finish(vm);
            spent
        };
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter_custom(|times| (0..times).map(|_| once()).sum());
        });
    }
}

criterion_group!(benches, native, wasm);
criterion_main!(benches);
