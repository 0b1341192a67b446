//! Waits for a condition that becomes true.

use std::time::{Duration, Instant};

/// Longest wait. It is long on purpose: it only bounds a broken run.
const LIMIT: Duration = Duration::from_secs(30);

/// Polls until `look` returns a value. Fails with `what` after [`LIMIT`].
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
