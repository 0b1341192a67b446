//! Tests `trimtab proxy` with the real filter, real sockets and a scripted aggregator.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use trimtab::proxy::{Args, Proxy};

use crate::support::{DESTINATION, EXPLAIN, chat, config, table_with};

type Http = Client<HttpConnector, Full<Bytes>>;

/// Serves `answer` on a free port of `ip` until the test ends.
async fn serve<F>(ip: [u8; 4], answer: F) -> SocketAddr
where
    F: Fn(Request<Bytes>) -> Response<Full<Bytes>> + Clone + Send + Sync + 'static,
{
    let listener = TcpListener::bind(SocketAddr::from((ip, 0)))
        .await
        .expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = answer.clone();
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await?.to_bytes();
                    Ok::<_, hyper::Error>(answer(Request::from_parts(head, body)))
                }
            });
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

/// Starts a model server. Its answer holds the size of the request's body and the named hosts.
async fn model_server() -> (SocketAddr, Arc<AtomicUsize>) {
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    let address = serve([127, 0, 0, 1], move |request| {
        count.fetch_add(1, Ordering::Relaxed);
        let hosts = request.headers().get(DESTINATION).cloned();
        let mut response = Response::new(Full::new(Bytes::from(request.body().len().to_string())));
        if let Some(hosts) = hosts {
            response.headers_mut().insert("x-hosts", hosts);
        }
        response
    })
    .await;
    (address, served)
}

/// Starts an aggregator that always has this table, with rising sequence numbers.
async fn aggregator(endpoints: Vec<SocketAddr>) -> SocketAddr {
    let sequence = Arc::new(AtomicUsize::new(1));
    serve([127, 0, 0, 1], move |_| {
        let next = sequence.fetch_add(1, Ordering::Relaxed) as u64;
        let mut table = table_with(next, &vec![0; endpoints.len()]);
        for (row, endpoint) in table.endpoints.iter_mut().zip(&endpoints) {
            row.address = endpoint.to_string();
        }
        table.endpoints.sort_by(|a, b| a.address.cmp(&b.address));
        Response::new(Full::new(Bytes::from(table.encode())))
    })
    .await
}

/// Starts a proxy in front of `endpoints`, and waits until it has a table of them.
async fn proxy(endpoints: &[SocketAddr], extra: &[&str]) -> (Proxy, tempfile::TempDir) {
    let aggregator = aggregator(endpoints.to_vec()).await;
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("plugin.json");
    std::fs::write(&file, config()).expect("written");
    let cluster = format!("trimtab_aggregator=http://{aggregator}");
    let path = file.to_str().expect("text");
    let mut args = vec![
        "proxy",
        "--listen",
        "127.0.0.1:0",
        "--config",
        path,
        "--cluster",
        &cluster,
    ];
    args.extend_from_slice(extra);
    let proxy = Proxy::start(&Args::parse_from(args)).await.expect("starts");
    for _ in 0..600 {
        let metrics = proxy.metrics();
        if metrics
            .iter()
            .any(|metric| metric.name.ends_with("answer.table") && metric.value > 0)
        {
            tokio::time::sleep(Duration::from_millis(500)).await;
            return (proxy, dir);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no table within a minute: {:?}", proxy.metrics());
}

async fn post(
    client: &Http,
    proxy: &Proxy,
    path: &str,
    body: String,
) -> (u16, Response<()>, String) {
    let request = Request::post(format!("http://{}{path}", proxy.address()))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .expect("a request");
    let sent = tokio::time::timeout(Duration::from_secs(60), client.request(request)).await;
    let (head, body) = sent.expect("in time").expect("answered").into_parts();
    let text = body.collect().await.expect("whole").to_bytes();
    let text = String::from_utf8_lossy(&text).into_owned();
    (head.status.as_u16(), Response::from_parts(head, ()), text)
}

fn client() -> Http {
    Client::builder(TokioExecutor::new()).build_http()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_every_size_go_through_the_filter_to_a_host_that_it_named() {
    let (one, first) = model_server().await;
    let (two, second) = model_server().await;
    let (proxy, _dir) = proxy(&[one, two], &["--workers", "2"]).await;
    let client = client();
    for size in [0, 100, 40_000, 2 << 20] {
        for _ in 0..8 {
            let body = chat(size);
            let length = body.len();
            let (status, head, text) = post(&client, &proxy, "/v1/completions", body).await;
            assert_eq!((status, text), (200, length.to_string()), "{size}");
            let hosts = head
                .headers()
                .get("x-hosts")
                .and_then(|hosts| hosts.to_str().ok());
            assert!(
                hosts.is_some_and(|hosts| hosts.contains(&one.to_string())),
                "{hosts:?}"
            );
            assert!(head.headers().contains_key(EXPLAIN), "{:?}", head.headers());
        }
    }
    let (first, second) = (
        first.load(Ordering::Relaxed),
        second.load(Ordering::Relaxed),
    );
    assert!(
        first > 3 && second > 3 && first + second == 32,
        "{first} + {second}"
    );
    proxy.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_refuses_connections_is_followed_by_the_next_of_the_list() {
    let (alive, served) = model_server().await;
    let dead = {
        let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        taken.local_addr().expect("bound")
    };
    let (proxy, _dir) = proxy(&[alive, dead], &[]).await;
    let client = client();
    for number in 0..20 {
        let (status, _, _) = post(&client, &proxy, "/v1/completions", chat(100 + number)).await;
        assert_eq!(status, 200);
    }
    assert_eq!(served.load(Ordering::Relaxed), 20);
    proxy.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_the_filter_leaves_alone_go_to_endpoints_or_are_answered_503() {
    let (one, served) = model_server().await;
    let endpoint = one.to_string();
    let client = client();
    let (with, _dir) = proxy(&[one], &["--endpoints", &endpoint]).await;
    assert_eq!(post(&client, &with, "/upload", "x".into()).await.0, 200);
    assert_eq!(served.load(Ordering::Relaxed), 1);
    let (without, _dir) = proxy(&[one], &[]).await;
    let (status, _, text) = post(&client, &without, "/upload", "x".into()).await;
    assert_eq!(status, 503);
    assert!(text.contains("--endpoints"), "{text}");
    with.shutdown().await;
    without.shutdown().await;
}
