//! An API server that is away, and a network that drops its messages.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use trimtab_loadtable::State;

use crate::cluster::{Cluster, eventually};
use crate::inference_pool::{aggregator, rows, states};
use crate::objects::{create_pod, delete_pod, ip, remove_pod, set_ready, two_servers};
use crate::support::Running;

fn source(port: u16) -> String {
    format!("pods: {{namespace: default, labels: {{app: vllm}}, ports: [{port}]}}")
}

async fn errors(app: &Running) -> f64 {
    app.metric("discovery_errors_total{pool=\"chat\"}").await
}

#[tokio::test]
async fn an_api_server_that_is_away_changes_nothing_and_is_followed_again_when_it_is_back() {
    let mut cluster = Cluster::start().await;
    let [a, b] = two_servers().await;
    for (name, last) in [("a", 2), ("b", 3)] {
        create_pod(&cluster.client, name, ip(last)).await;
        set_ready(&cluster.client, name, true).await;
    }
    let port = cluster.address().port();
    let app = aggregator(&cluster, "root", port, &source(a.address.port())).await;
    let both = [(a.address, State::Ready), (b.address, State::Ready)];
    rows(&app, &both).await;
    cluster.kill();
    eventually("it is told", async || {
        (errors(&app).await > 2.0).then_some(())
    })
    .await;
    let both: Vec<_> = both
        .iter()
        .map(|(address, state)| (address.to_string(), *state))
        .collect();
    for _ in 0..200 {
        assert_eq!(states(&app, "chat").await, both);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        app.get("/readyz").await.0,
        200,
        "the pool is as ready as before"
    );
    cluster.start_again().await;
    remove_pod(&cluster.client, "a").await;
    let took = rows(&app, &[(b.address, State::Ready)]).await;
    println!("seen {took:?} after the API server was back");
    assert!(took < Duration::from_secs(30), "{took:?}");
}

/// Passes bytes on, until `swallow` drops those of all open connections.
struct Network {
    address: SocketAddr,
    swallows: watch::Sender<u32>,
}

impl Network {
    async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let swallows = watch::channel(0).0;
        let told = Arc::new(swallows.clone());
        tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let mut swallowing = told.subscribe();
                swallowing.mark_unchanged();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(to).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        // Neither end learns that the connection is dead.
                        _ = swallowing.changed() => std::future::pending().await,
                    }
                });
            }
        });
        Self { address, swallows }
    }

    /// From here on nothing comes over the connections that are open.
    fn swallow(&self) {
        self.swallows.send_modify(|times| *times += 1);
    }
}

#[tokio::test]
async fn a_delete_that_never_arrived_is_found_within_half_a_minute() {
    let cluster = Cluster::start().await;
    let [a, b] = two_servers().await;
    for (name, last) in [("a", 2), ("b", 3)] {
        create_pod(&cluster.client, name, ip(last)).await;
        set_ready(&cluster.client, name, true).await;
    }
    let network = Network::start(cluster.address()).await;
    let source = source(a.address.port());
    let app = aggregator(&cluster, "root", network.address.port(), &source).await;
    rows(
        &app,
        &[(a.address, State::Ready), (b.address, State::Ready)],
    )
    .await;
    network.swallow();
    delete_pod(&cluster.client, "a").await;
    remove_pod(&cluster.client, "a").await;
    let took = rows(&app, &[(b.address, State::Ready)]).await;
    println!("found after {took:?}");
    assert!(
        took > Duration::from_secs(1),
        "it was not swallowed: {took:?}"
    );
    assert!(took < Duration::from_secs(31), "{took:?}");
}
