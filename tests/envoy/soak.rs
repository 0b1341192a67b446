//! Hours in small: every kind of request, client and server at once, tables at 20 Hz, an aggregator that comes and goes.
//!
//! 30 s in each form here; `cargo xtask bench soak` is the same for as long as one likes. Fails when a request fails that was not asked to,
//! when Envoy grows, when anything is left in flight, or when the log has a warning that nobody has given cause for.

mod client;
mod server;

use std::time::{Duration, Instant};

use client::Clients;
use trimtab_loadtable::Table;

use crate::support::config::Form;
use crate::support::{
    Answer, ScriptedAggregator, Stage, StageOptions, eventually, row, severe, table,
};

/// How long, in seconds; absent: [`SHORT`].
const FOR: &str = "TRIMTAB_SOAK_S";
const SHORT: Duration = Duration::from_secs(30);
const CLIENTS: u64 = 8;
const SERVERS: usize = 4;
/// What Envoy may have more at the end than after the first third, in bytes: what it takes from the system comes in steps.
const GROWTH: u64 = 6 << 20;
/// The same of a VM, whose memory never shrinks: two of its pages.
const VM_GROWTH: u64 = 2 << 16;

/// What Envoy takes, in bytes.
#[derive(Debug, Clone, Copy)]
struct Memory {
    /// From the system.
    resident: u64,
    /// As its allocator counts; without the memories of VMs.
    allocated: u64,
    /// Of the largest VM.
    vm: u64,
}

async fn memory(stage: &mut Stage) -> Memory {
    let pid = stage.envoy.child().id();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = kib.unwrap().trim().trim_end_matches(" kB").trim();
    let allocated = stage.envoy.stat("server.memory_allocated").await.unwrap();
    Memory {
        resident: kib.parse::<u64>().unwrap() << 10,
        allocated,
        vm: stage.metric("trimtab_memory_bytes.pool.default").await,
    }
}

fn next_table(sequence: u64, servers: &[std::net::SocketAddr]) -> Table {
    let wait = |n: usize| u32::try_from((sequence * 7 + n as u64 * 13) % 50).unwrap_or(0);
    let rows = servers.iter().enumerate();
    let rows = rows.map(|(n, address)| row(&address.to_string(), wait(n)));
    table(sequence, rows.collect())
}

/// The median of a part of the samples.
fn median(samples: &[Memory], of: impl Fn(&Memory) -> u64) -> u64 {
    let mut values: Vec<u64> = samples.iter().map(of).collect();
    values.sort_unstable();
    values[values.len() / 2]
}

async fn soak(form: Form) {
    let span = std::env::var(FOR).map_or(SHORT, |seconds| {
        Duration::from_secs(seconds.parse().unwrap())
    });
    let mut servers = Vec::new();
    for _ in 0..SERVERS {
        servers.push(server::start().await);
    }
    let mut sequence = 1;
    let first = Answer::Table(next_table(sequence, &servers));
    let mut aggregator = Some(ScriptedAggregator::start(first).await);
    let address = aggregator.as_ref().unwrap().address;
    let options = StageOptions {
        form,
        ..StageOptions::default()
    };
    let mut stage = Stage::start(&servers, address, options).await;
    stage.placing().await;

    let clients = Clients::start(stage.address, CLIENTS);
    let (start, mut samples, mut restarts) = (Instant::now(), Vec::new(), 0);
    // Away for one second of each tenth of the time.
    let away = |at: Duration| {
        at.as_secs_f64() % (span.as_secs_f64() / 10.0) > span.as_secs_f64() / 10.0 - 1.0
    };
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    while start.elapsed() < span {
        ticks.tick().await;
        sequence += 1;
        let next = Answer::Table(next_table(sequence, &servers));
        match &aggregator {
            Some(_) if away(start.elapsed()) => {
                aggregator = None;
                restarts += 1;
            }
            Some(own) => own.publish(next),
            None if !away(start.elapsed()) => {
                aggregator = Some(ScriptedAggregator::start_at(address, next).await);
            }
            None => {}
        }
        if sequence % 10 == 0 {
            samples.push(memory(&mut stage).await);
        }
    }
    let sent = clients.sent();
    let failures = clients.stop().await;
    if aggregator.is_none() {
        let last = Answer::Table(next_table(sequence, &servers));
        aggregator = Some(ScriptedAggregator::start_at(address, last).await);
    }
    let aggregator = aggregator.unwrap();
    eventually("nothing is in flight", async || {
        aggregator.nudge();
        let report = aggregator.last_report()?;
        let open: u32 = report.endpoints.iter().map(|own| own.in_flight).sum();
        (open == 0).then_some(())
    })
    .await;
    eventually("the gauge says so too", async || {
        aggregator.nudge();
        (stage.metric("trimtab_in_flight.pool.default").await == 0).then_some(())
    })
    .await;

    let third = samples.len() / 3;
    let (warm, end) = (
        &samples[third..third + third / 2],
        &samples[samples.len() - third / 2..],
    );
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "{form:?}: {sent} requests in {span:?}, {sequence} tables, {restarts} restarts of the aggregator; Envoy's resident set {:.1} -> {:.1} MiB, allocated {:.2} -> {:.2} MiB, largest VM {:.2} -> {:.2} MiB (median after a third, median at the end)",
        mib(median(warm, |own| own.resident)),
        mib(median(end, |own| own.resident)),
        mib(median(warm, |own| own.allocated)),
        mib(median(end, |own| own.allocated)),
        mib(median(warm, |own| own.vm)),
        mib(median(end, |own| own.vm)),
    );
    println!("{:?}", stage.metrics("trimtab_decisions_total").await);
    assert!(
        failures.is_empty(),
        "{} failed: {:#?}",
        failures.len(),
        &failures[..failures.len().min(20)]
    );
    let grows = |of: fn(&Memory) -> u64, growth| median(end, of) > median(warm, of) + growth;
    assert!(sent > 100, "only {sent} requests");
    assert!(median(end, |own| own.vm) > 0, "the VM's memory is told");
    assert!(!grows(|own| own.resident, GROWTH), "Envoy grows");
    assert!(!grows(|own| own.allocated, GROWTH), "Envoy allocates more");
    assert!(!grows(|own| own.vm, VM_GROWTH), "a VM grows");
    let counts = [
        "trimtab_setup_errors_total",
        "trimtab_host_errors_total",
        "trimtab_table_refusals_total",
    ];
    for name in counts {
        let counted = stage.metrics(name).await;
        assert!(counted.values().all(|count| *count == 0), "{counted:?}");
    }
    // What the restarts of the aggregator do not explain.
    let log = stage.envoy.log_text();
    let (explained, unexpected): (Vec<_>, Vec<_>) = severe(&log)
        .into_iter()
        .partition(|line| line.contains("sync failed"));
    assert!(restarts == 0 || !explained.is_empty(), "warnings are seen");
    assert_eq!(unexpected, Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_fails_grows_or_stays_with_one_plugin() {
    soak(Form::Single).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_fails_grows_or_stays_with_tap_and_pick() {
    soak(Form::Pair).await;
}
