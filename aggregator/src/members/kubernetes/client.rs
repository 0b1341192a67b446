//! Connects to an API server.

use super::section::Reading;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::time::Duration;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Makes a client from the settings; else from `$KUBECONFIG`, the user's kubeconfig, or the service
/// account of the pod.
pub(crate) async fn client(reading: &Reading) -> Result<Client, String> {
    let options = KubeConfigOptions {
        context: reading.context.clone(),
        ..KubeConfigOptions::default()
    };
    let mut config = match &reading.kubeconfig {
        Some(path) => {
            let shown = path.display();
            let file = Kubeconfig::read_from(path).map_err(|error| format!("{shown}: {error}"))?;
            let config = Config::from_custom_kubeconfig(file, &options).await;
            config.map_err(|error| format!("{shown}: {error}"))?
        }
        None if reading.context.is_some() => {
            let config = Config::from_kubeconfig(&options).await;
            config.map_err(|error| error.to_string())?
        }
        None => Config::infer().await.map_err(|error| {
            format!("this is no pod with a service account, and there is no kubeconfig; set `kubeconfig`: {error}")
        })?,
    };
    config.connect_timeout = Some(CONNECT_LIMIT);
    Client::try_from(config).map_err(|error| format!("no client for the API server: {error}"))
}
