//! Steady load from many clients at the same time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::client::ask;

/// A request that did not end with a complete answer of status 200.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) started: Instant,
    /// Status or error of the transport. `Debug` shows it when a test fails.
    #[expect(dead_code, reason = "read through Debug")]
    pub(crate) what: String,
}

/// Clients that send one request after the other until they are stopped.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    clients: JoinSet<Vec<Failure>>,
}

impl Load {
    /// Starts this many clients.
    pub(crate) fn start(to: SocketAddr, clients: u32) -> Self {
        let (stop, done) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let mut set = JoinSet::new();
        for client in 0..clients {
            set.spawn(run(to, client, Arc::clone(&stop), Arc::clone(&done)));
        }
        Self {
            stop,
            done,
            clients: set,
        }
    }

    /// Returns the number of answered requests.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }

    /// Waits until `count` more requests are answered.
    pub(crate) async fn more(&self, count: u64) {
        let goal = self.done() + count;
        super::eventually("the load goes on", async || {
            (self.done() >= goal).then_some(())
        })
        .await;
    }

    /// Stops the clients after their current request. Returns the failures.
    pub(crate) async fn stop(self) -> Vec<Failure> {
        self.stop.store(true, Ordering::SeqCst);
        self.clients
            .join_all()
            .await
            .into_iter()
            .flatten()
            .collect()
    }
}

async fn run(
    to: SocketAddr,
    client: u32,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
) -> Vec<Failure> {
    let mut failures = Vec::new();
    for n in 0u32.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let started = Instant::now();
        match ask(to, &format!("question {n} of client {client}")).await {
            Ok(response) if response.status == 200 => {
                done.fetch_add(1, Ordering::SeqCst);
            }
            Ok(response) => failures.push(Failure {
                started,
                what: format!("{} {:?}", response.status, response.body),
            }),
            Err(error) => failures.push(Failure {
                started,
                what: error.to_string(),
            }),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    failures
}

/// Sends a request every 50 ms, independent of the others. Returns how many had no answer within
/// ten seconds.
pub(crate) async fn ask_for(proxy: SocketAddr, long: Duration) -> usize {
    let mut asked = JoinSet::new();
    let start = Instant::now();
    for n in 0.. {
        if start.elapsed() > long {
            break;
        }
        asked.spawn(async move {
            let question = format!("question {n}");
            let answer = ask(proxy, &question);
            let answer = tokio::time::timeout(Duration::from_secs(10), answer).await;
            answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status == 200))
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    asked
        .join_all()
        .await
        .into_iter()
        .filter(|good| !good)
        .count()
}
