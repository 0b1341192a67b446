//! Clients that go on for as long as a test takes, each request of another kind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

/// How long a test over time goes on, in seconds; absent: [`SHORT`].
const FOR: &str = "TRIMTAB_SOAK_S";
const SHORT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(40);

/// How long a test over time goes on.
pub(crate) fn span() -> Duration {
    std::env::var(FOR).map_or(SHORT, |seconds| {
        Duration::from_secs(seconds.parse().unwrap())
    })
}

/// Clients that send one request after the other until they are told to stop.
#[derive(Debug)]
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    set: JoinSet<Vec<String>>,
}

impl Clients {
    /// Starts `count` of them. `one` sends the request of a number, and says what has failed and was not asked to; a client's numbers follow
    /// each other, those of the next begin 2^32 later.
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

    /// What has failed and was not asked to.
    pub(crate) async fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        self.set.join_all().await.concat()
    }
}

/// Fails the test when anything has failed.
pub(crate) fn none_failed(failures: &[String]) {
    assert!(
        failures.is_empty(),
        "{} failed: {:#?}",
        failures.len(),
        &failures[..failures.len().min(20)]
    );
}
