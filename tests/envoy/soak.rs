//! A soak test in small: every kind of request, client and server at the same time, tables at 20
//! Hz, an aggregator that comes and goes.
//!
//! It takes 30 s in each form here. `cargo xtask bench soak` runs the same for longer. It fails if
//! a request fails unexpectedly, if Envoy grows, if anything is left in flight, or if the log has
//! an unexplained warning.

pub(crate) mod client;
mod server;

use std::time::{Duration, Instant};

use serde_json::json;
use trimtab_loadtable::Table;

use crate::support::clients::{Clients, none_failed, span};
use crate::support::config::Form;
use crate::support::memory::Memory;
use crate::support::record::record;
use crate::support::{
    Answer, ScriptedAggregator, Stage, StageOptions, eventually, no_faults, row, severe, table,
    tells_of_restart,
};

const CLIENTS: u64 = 8;
const SERVERS: usize = 4;

fn next_table(sequence: u64, servers: &[std::net::SocketAddr]) -> Table {
    let wait = |n: usize| u32::try_from((sequence * 7 + n as u64 * 13) % 50).unwrap_or(0);
    let rows = servers.iter().enumerate();
    let rows = rows.map(|(n, address)| row(&address.to_string(), wait(n)));
    table(sequence, rows.collect())
}

async fn soak(form: Form, name: &str) {
    let span = span();
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

    let to = stage.address;
    let clients = Clients::start(CLIENTS, move |number| client::one(to, number));
    let (start, mut memory, mut restarts) = (Instant::now(), Memory::default(), 0);
    // The aggregator is away for the last second of each tenth of the time.
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
            memory.take(&mut stage).await;
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

    println!(
        "{form:?}: {sent} requests in {span:?}, {sequence} tables, {restarts} restarts of the aggregator; {}",
        memory.told()
    );
    println!("{:?}", stage.metrics("trimtab_decisions_total").await);
    let more = json!({"tables": sequence, "restarts": restarts, "memory_mib": memory.recorded()});
    record(name, sent, failures.len(), more);
    none_failed(&failures);
    assert!(sent > 100, "only {sent} requests");
    memory.does_not_grow(2);
    no_faults(&stage).await;
    // The restarts of the aggregator explain only these warnings.
    let log = stage.envoy.log_text();
    let (explained, unexpected): (Vec<_>, Vec<_>) = severe(&log)
        .into_iter()
        .partition(|line| tells_of_restart(line));
    assert!(restarts == 0 || !explained.is_empty(), "warnings are seen");
    assert_eq!(unexpected, Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_fails_grows_or_stays_with_one_plugin() {
    soak(Form::Single, "single").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_fails_grows_or_stays_with_tap_and_pick() {
    soak(Form::Pair, "tap and pick").await;
}
