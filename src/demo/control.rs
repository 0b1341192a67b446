//! Runs the trimtab lane's aggregator in this process.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use trimtab_aggregator::{App, Config};

use super::envoy::POOL;
use super::fleet::Target;

/// A running aggregator. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Control {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<std::io::Result<()>>,
}

impl Control {
    /// Starts an aggregator that scrapes `targets`.
    pub(crate) async fn start(targets: &[Target]) -> Result<Self> {
        let config = Config::from_yaml(&config(targets))
            .context("the demo's own aggregator configuration")?;
        let app = App::build(config)
            .await
            .context("cannot start the aggregator")?;
        let (stop, stopped) = oneshot::channel();
        let address = app.address();
        let running = tokio::spawn(app.run(async {
            // Dropping the sender stops the aggregator too.
            let _ = stopped.await;
        }));
        Ok(Self {
            address,
            stop,
            running,
        })
    }

    /// Returns the address that it listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it and waits until it has answered the open requests.
    pub(crate) async fn stop(self) {
        let _already = self.stop.send(());
        let _ended = self.running.await;
    }
}

/// Returns the aggregator's configuration. It sets the listener, the endpoints, and the speeds of
/// classes that are no product's name. All else has its default. An operator knows the hardware of
/// a class. The aggregator knows only products by name (`a100`), and assumes an A100 for any other
/// class.
fn config(targets: &[Target]) -> String {
    let mut yaml =
        format!("listen: 127.0.0.1:0\npools:\n- name: {POOL}\n  discovery:\n    endpoints:\n");
    for Target { address, class, .. } in targets {
        // Writing to a String cannot fail.
        let _ = writeln!(yaml, "    - {{ address: \"{address}\", class: {class} }}");
    }
    yaml.push_str("  classes:\n");
    let mut named: Vec<&str> = Vec::new();
    for Target { class, profile, .. } in targets
        .iter()
        .filter(|target| target.class != target.profile.name)
    {
        if !named.contains(&class.as_str()) {
            named.push(class);
            let prefill = profile.speed / profile.prefill_s_per_token;
            let sequence = (profile.decode_s_per_sequence + profile.context_s_per_token * 500.0)
                / profile.speed;
            let _ = writeln!(
                yaml,
                "  - {{ name: {class}, prefill_tokens_per_s: {prefill:.0}, itl_s_per_sequence: {sequence:.7} }}"
            );
        }
    }
    yaml
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_modelserver::Profile;

    #[tokio::test]
    async fn the_aggregator_takes_the_demos_configuration() {
        let fast = Profile::named("a100").unwrap();
        let slow = Profile {
            speed: 0.4,
            ..fast.clone()
        };
        let target = |port, class: &str, profile| Target {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            class: class.to_owned(),
            profile,
        };
        let targets = [target(9_000, "a100", fast), target(9_001, "slow", slow)];
        let parsed = Config::from_yaml(&config(&targets)).unwrap();
        let classes: Vec<_> = parsed.pools[0]
            .classes
            .iter()
            .map(|(name, prior)| (name.as_str(), prior.prefill_tokens_per_s))
            .collect();
        assert_eq!(classes, [("slow", 4_706.0)]);
        let control = Control::start(&targets).await.unwrap();
        assert_ne!(control.address().port(), 0);
        control.stop().await;
    }
}
