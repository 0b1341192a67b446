//! Waiting for something that becomes true.

use std::time::{Duration, Instant};

/// Generous: it bounds a broken run, and a working one does not wait for it.
const LIMIT: Duration = Duration::from_secs(30);

/// Polls until `look` returns a value. Fails with `what` when that takes longer than any working run would.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = look().await {
            return value;
        }
        assert!(start.elapsed() < LIMIT, "waited {LIMIT:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
