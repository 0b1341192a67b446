//! Clients that run for a whole test, each request of another kind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

/// Variable with the duration of a long test in seconds; if absent, [`SHORT`] is used.
const FOR: &str = "TRIMTAB_SOAK_S";
const SHORT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(40);

/// Returns the duration of a long test.
pub(crate) fn span() -> Duration {
    std::env::var(FOR).map_or(SHORT, |seconds| {
        Duration::from_secs(seconds.parse().unwrap())
    })
}

/// Clients that send one request after the other until they are stopped.
#[derive(Debug)]
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    set: JoinSet<Vec<String>>,
}

impl Clients {
    /// Starts `count` clients.
    ///
    /// - `count`: number of clients.
    /// - `one`: sends the request of a number, and returns an error for an unexpected failure. The
    ///   numbers of a client are consecutive. Those of the next client begin 2^32 later.
    pub(crate) fn start<F>(count: u64, one: impl Fn(u64) -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send,
    {
        let mut own = Self {
            stop: Arc::default(),
            sent: Arc::default(),
            set: JoinSet::new(),
        };
        for client in 0..count {
            let (stop, sent) = (Arc::clone(&own.stop), Arc::clone(&own.sent));
            let one = one.clone();
            own.set.spawn(async move {
                let mut failures = Vec::new();
                let mut number = client << 32;
                while !stop.load(Ordering::SeqCst) {
                    number += 1;
                    if let Err(failure) = one(number).await {
                        failures.push(failure);
                    }
                    sent.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(PAUSE).await;
                }
                failures
            });
        }
        own
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// Stops the clients and returns the unexpected failures.
    pub(crate) async fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        self.set.join_all().await.concat()
    }
}

/// Fails the test if there are failures.
pub(crate) fn none_failed(failures: &[String]) {
    assert!(
        failures.is_empty(),
        "{} failed: {:#?}",
        failures.len(),
        &failures[..failures.len().min(20)]
    );
}
