//! Measures what the filter costs: Envoy's CPU per request and added latency, compared with the
//! same Envoy without it.
//!
//! All variants run at the same time. Within a round their bursts come in random order. The figures
//! are medians over rounds of the *paired* ratio or difference. On a shared machine absolute values
//! drift by a factor of ten within an hour.
//!
//! Run it with `cargo xtask bench --bench envoy_overhead`. Arguments after `--` are the rounds and
//! body bytes, or `stream` for streamed answers alone.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a benchmark stops at the first surprise"
)]

mod backend;
mod cpu;
mod load;
mod report;
mod summary;
mod variant;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use load::Connection;
use report::{Cpu, Latency, Load};
use trimtab::process::Child;
use variant::{Kind, Variant};

const BACKENDS: usize = 4;
const CONNECTIONS: usize = 8;
const BURST: Duration = Duration::from_millis(1_500);
/// Streamed answers: requests of a burst, time between two, chunks of each.
const STREAMS: (u32, Duration, usize) = (15, Duration::from_millis(100), 2_000);
const SLOW_REQUESTS: usize = 1_200;
const SLOW_PAUSE: Duration = Duration::from_millis(5);

#[tokio::main]
async fn main() -> Result<()> {
    let numbers: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    let rounds = numbers.first().copied().unwrap_or(14);
    let sizes = numbers
        .get(1)
        .map_or_else(|| vec![2_048, 220 * 1024], |size| vec![*size]);
    let dir = tempfile::tempdir()?;
    let mut backends = Vec::new();
    for _ in 0..BACKENDS {
        backends.push(backend::start().await?);
    }
    let (_aggregator, address) = aggregator(&backends, dir.path()).await?;
    let mut variants = Vec::new();
    for kind in Kind::all()? {
        variants.push(variant::start(&kind, &backends, address, dir.path()).await?);
    }
    let small = load::chat_body(2_048);
    for variant in variants.iter().filter(|variant| variant.decides) {
        wait_until_it_decides(variant, &small).await?;
    }
    let only_streams = std::env::args().any(|word| word == "stream");
    let mut loads = Vec::new();
    for bytes in sizes.into_iter().filter(|_| !only_streams) {
        loads.push(bodies(&mut variants, rounds, bytes).await?);
    }
    if only_streams || numbers.len() < 2 {
        loads.push(streams(&mut variants, rounds).await?);
    }
    report::record(&loads)
}

/// Measures requests with bodies of this size.
async fn bodies(variants: &mut [Variant], rounds: usize, bytes: usize) -> Result<Load> {
    let body = load::chat_body(bytes);
    let cpu = bursts(variants, rounds, async |proxy| {
        load::burst(proxy, &body, CONNECTIONS, BURST).await
    })
    .await?;
    let load = Load {
        name: format!("bodies of {} bytes", body.len()),
        rounds,
        variants: names(variants),
        cpu,
        latency: latency(variants, &body).await?,
    };
    load.print();
    Ok(load)
}

/// Measures requests with streamed answers.
async fn streams(variants: &mut [Variant], rounds: usize) -> Result<Load> {
    let (requests, gap, chunks) = STREAMS;
    let small = load::chat_body(2_048);
    let cpu = bursts(variants, rounds, async |proxy| {
        load::streams(proxy, &small, requests, gap, chunks).await?;
        Ok(requests.into())
    })
    .await?;
    let load = Load {
        name: format!("answers of {chunks} chunks, a request each {gap:?}"),
        rounds,
        variants: names(variants),
        cpu,
        latency: Vec::new(),
    };
    load.print();
    Ok(load)
}

fn names(variants: &[Variant]) -> Vec<String> {
    variants
        .iter()
        .map(|variant| variant.name.clone())
        .collect()
}

async fn aggregator(
    backends: &[std::net::SocketAddr],
    dir: &Path,
) -> Result<(Child, std::net::SocketAddr)> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let endpoints: String = backends
        .iter()
        .map(|address| format!("      - address: {address}\n"))
        .collect();
    let config = dir.join("aggregator.yaml");
    std::fs::write(
        &config,
        format!(
            "listen: {port}\npools:\n  - name: bench\n    discovery:\n      endpoints:\n{endpoints}"
        ),
    )?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_trimtab"));
    command.arg("aggregator").arg("--config").arg(config);
    Ok((
        Child::spawn("aggregator", &command, &dir.join("aggregator.log"))?,
        port,
    ))
}

/// Waits until the filter has a table and decides. Without a table the benchmark would measure
/// something else.
async fn wait_until_it_decides(variant: &Variant, body: &Bytes) -> Result<()> {
    let start = Instant::now();
    loop {
        Connection::open(variant.address).await?.send(body).await?;
        let decisions = variant
            .envoy
            .filter_metrics("trimtab_decisions_total")
            .await?;
        let by_table = |(name, count): (&String, &u64)| !name.ends_with(".no_table") && *count > 0;
        if decisions.iter().any(by_table) {
            return Ok(());
        }
        ensure!(
            start.elapsed() < Duration::from_secs(20),
            "the filter decides nothing:\n{decisions:?}\n{}",
            variant.envoy.log_tail(40)
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Runs bursts, and compares the CPU that they take. `burst` sends its load to an address and
/// returns the number of requests.
async fn bursts(
    variants: &mut [Variant],
    rounds: usize,
    burst: impl AsyncFn(std::net::SocketAddr) -> Result<u64>,
) -> Result<Vec<Cpu>> {
    let mut cpu_us = vec![Vec::new(); variants.len()];
    let mut per_s = vec![Vec::new(); variants.len()];
    for round in 0..=rounds {
        for index in order(variants.len(), round) {
            let variant = &mut variants[index];
            let pid = variant.envoy.child().id();
            let (before, start) = (cpu::on_cpu(pid)?, Instant::now());
            let requests = burst(variant.address)
                .await
                .with_context(|| variant.name.clone())? as f64;
            let used = cpu::on_cpu(pid)? - before;
            // The first round warms caches and connections.
            if round > 0 {
                cpu_us[index].push(used.as_secs_f64() * 1e6 / requests);
                per_s[index].push(requests / start.elapsed().as_secs_f64());
            }
        }
    }
    let all = cpu_us.iter().zip(&per_s);
    Ok(all
        .map(|(us, per_s)| Cpu::new(&cpu_us[0], us, per_s))
        .collect())
}

/// Sends one request at a time, to the variants in turn and with pauses: about 50 requests/s to
/// each of three.
async fn latency(variants: &[Variant], body: &Bytes) -> Result<Vec<Latency>> {
    let mut connections = Vec::new();
    for variant in variants {
        connections.push(Connection::open(variant.address).await?);
    }
    let mut micros = vec![Vec::new(); variants.len()];
    for request in 0..SLOW_REQUESTS {
        for index in order(variants.len(), request) {
            tokio::time::sleep(SLOW_PAUSE).await;
            micros[index].push(connections[index].send(body).await?.as_secs_f64() * 1e6);
        }
    }
    let all = micros.iter();
    Ok(all.map(|us| Latency::new(&micros[0], us)).collect())
}

/// Returns the variants in an order that changes from round to round and is the same in each run.
fn order(count: usize, round: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut state = (round as u64)
        .wrapping_add(1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for left in (1..count).rev() {
        state ^= state >> 29;
        state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        order.swap(left, (state >> 33) as usize % (left + 1));
    }
    order
}
