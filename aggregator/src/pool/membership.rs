//! Passes lists of endpoints from discovery to the pool.

use super::state::PoolState;
use crate::members::Targets;
use std::sync::Arc;
use tokio::sync::watch;

/// Hands each list to the pool and then to the scraper, until discovery ends.
pub(super) async fn follow(
    mut found: watch::Receiver<Targets>,
    pool: Arc<PoolState>,
    scraped: watch::Sender<Targets>,
) {
    loop {
        let targets = found.borrow_and_update().clone();
        pool.set_targets(&targets);
        scraped.send_replace(targets);
        if found.changed().await.is_err() {
            return;
        }
    }
}
