//! Tests odd clients and odd servers with the real programs: pages without or with false content,
//! answers of every form, bodies that are no requests, and an aggregator that is killed again and
//! again.
//!
//! It takes 30 s here. `cargo xtask bench soak` runs the same for longer. Each request must end
//! with the status that its server gave. Every usable server must get requests.

mod answer;
mod asked;
mod book;
mod kind;
mod page;
mod server;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use book::Book;
use page::Page;
use serde_json::json;
use server::OddServer;

use crate::support::clients::{Clients, none_failed, span};
use crate::support::fleet::Fleet;
use crate::support::memory::Memory;
use crate::support::record::record;
use crate::support::{eventually, no_faults, severe, tells_of_restart};

const CLIENTS: u64 = 8;
/// Each question is its own conversation. A worker's memory of conversations, 96 KiB at first, may
/// double.
const VM_PAGES: u64 = 8;

/// Returns a text that differs between bodies.
fn digest(body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    format!("{}:{:x}", body.len(), hasher.finish())
}

/// Starts two model servers and one odd server of each kind. All are in both lists.
async fn fleet() -> (Fleet, Vec<OddServer>) {
    let mut fleet = Fleet::start(&[1.0, 1.0]).await;
    let mut servers = Vec::new();
    for page in Page::ALL {
        let server = OddServer::start(page).await;
        fleet.add_address(server.address);
        servers.push(server);
    }
    eventually("the table says who sleeps", async || {
        let table = fleet.table().await;
        let rows = table["endpoints"].as_array()?;
        let asleep = rows.iter().any(|row| row["doubt"] == "asleep");
        (asleep && rows.len() == Page::ALL.len() + 2).then_some(())
    })
    .await;
    // The proxy's workers have the table on their next tick.
    tokio::time::sleep(Duration::from_secs(1)).await;
    (fleet, servers)
}

/// Lets the time of the test pass. Kills the aggregator at each tenth of it, and wakes sleeping
/// servers after six tenths. Returns how often it killed the aggregator.
async fn pass(fleet: &mut Fleet, servers: &[OddServer], memory: &mut Memory) -> u32 {
    let (start, span, mut tenths) = (Instant::now(), span(), 0);
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    while start.elapsed() < span {
        ticks.tick().await;
        memory.take(&mut fleet.stage).await;
        if start.elapsed() < span * (tenths + 1) / 10 {
            continue;
        }
        tenths += 1;
        fleet.kill_aggregator();
        tokio::time::sleep(Duration::from_secs(1)).await;
        fleet.start_aggregator();
        if tenths == 6 {
            servers.iter().for_each(OddServer::wake);
        }
    }
    tenths
}

/// Checks the shares of the servers. A usable server must get a tenth of an equal share or more. A
/// server that always says that it is full must get at least one request. A sleeping one must get
/// none.
async fn all_got_some(fleet: &Fleet, servers: &[OddServer]) {
    let mut got = Vec::new();
    for server in &fleet.servers {
        let sent = fleet.sent_to(server.address).await;
        got.push(("model server".to_owned(), sent));
    }
    for server in servers {
        assert_eq!(server.placed_asleep(), 0, "{:?}, asleep", server.page);
        got.push((format!("{:?}", server.page), server.placed().into()));
    }
    println!("placed: {got:?}");
    let share = got.iter().map(|(_, sent)| sent).sum::<u64>() / got.len() as u64;
    for (name, sent) in &got {
        let is_full = *name == format!("{:?}", Page::Stale);
        let least = if is_full { 1 } else { share / 10 };
        assert!(*sent >= least, "{name} got {sent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_fails_grows_or_stays_with_odd_clients_and_odd_servers() {
    let (mut fleet, servers) = fleet().await;
    let models: Vec<_> = fleet.servers.iter().map(|server| server.address).collect();
    let book = Arc::new(Book::open(&models).await);
    let (to, own) = (fleet.stage.address, Arc::clone(&book));
    let clients = Clients::start(CLIENTS, move |number| {
        let book = Arc::clone(&own);
        async move { book.one(to, number).await }
    });
    let mut memory = Memory::default();
    let kills = pass(&mut fleet, &servers, &mut memory).await;
    let sent = clients.sent();
    let failures = clients.stop().await;
    let kinds = book.sent();
    println!(
        "odd: {sent} requests in {:?}, {} failed, {kills} kills of the aggregator; of each kind: {kinds:?}; {}",
        span(),
        failures.len(),
        memory.told()
    );
    let more = json!({"restarts": kills, "kinds": kinds.len(), "memory_mib": memory.recorded()});
    record("odd clients and servers", sent, failures.len(), more);
    none_failed(&failures);
    assert_eq!(kinds.len(), Book::kinds(), "every kind was sent");
    eventually("nothing is in flight", async || {
        (fleet.stage.metric("trimtab_in_flight.pool.default").await == 0).then_some(())
    })
    .await;
    all_got_some(&fleet, &servers).await;
    println!("{:?}", fleet.stage.metrics("trimtab_decisions_total").await);
    let probes = "trimtab_decisions_total.pool.default.reason.probe";
    let probes = fleet.stage.metric(probes).await;
    let unreadable = servers.iter().filter(|server| server.page.is_unreadable());
    assert!(
        probes >= unreadable.count() as u64,
        "{probes} requests tried out"
    );
    memory.does_not_grow(VM_PAGES);
    no_faults(&fleet.stage).await;
    let log = fleet.stage.envoy.log_text();
    let unexpected = severe(&log).into_iter();
    // One line is for an unknown path.
    let unheard = "a POST with JSON to /v1/unheard/of is left to";
    let unexpected = unexpected.filter(|line| !tells_of_restart(line) && !line.contains(unheard));
    assert_eq!(unexpected.collect::<Vec<_>>(), Vec::<&str>::new());
}
