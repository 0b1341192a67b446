//! The trimtab lane's aggregator, in this process.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use trimtab_aggregator::{App, Config};

use super::envoy::POOL;

/// A running aggregator. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Control {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<std::io::Result<()>>,
}

impl Control {
    /// Starts an aggregator that scrapes `targets` (address and hardware class).
    pub(crate) async fn start(targets: &[(SocketAddr, &str)]) -> Result<Self> {
        let config = Config::from_yaml(&config(targets))
            .context("the demo's own aggregator configuration")?;
        let app = App::build(config)
            .await
            .context("cannot start the aggregator")?;
        let (stop, stopped) = oneshot::channel();
        let address = app.address();
        let running = tokio::spawn(app.run(async {
            // Stopped also when the sender is dropped.
            let _ = stopped.await;
        }));
        Ok(Self {
            address,
            stop,
            running,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it and waits until it has answered what waits.
    pub(crate) async fn stop(self) {
        let _already = self.stop.send(());
        let _ended = self.running.await;
    }
}

/// Everything but listener and endpoints has its default.
fn config(targets: &[(SocketAddr, &str)]) -> String {
    let mut yaml =
        format!("listen: 127.0.0.1:0\npools:\n- name: {POOL}\n  discovery:\n    endpoints:\n");
    for (address, class) in targets {
        // Writing to a String cannot fail.
        let _ = writeln!(yaml, "    - {{ address: \"{address}\", class: {class} }}");
    }
    yaml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_aggregator_takes_the_demos_configuration() {
        let target = SocketAddr::from(([127, 0, 0, 1], 9_000));
        let control = Control::start(&[(target, "a100")]).await.unwrap();
        assert_ne!(control.address().port(), 0);
        control.stop().await;
    }
}
