//! Clients that go away, and servers that stop.

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use trimtab_modelserver::{Server, Spec};

use crate::rig::{Rig, events, spec};

#[tokio::test]
async fn a_client_that_goes_away_frees_its_place() {
    let rig = Rig::start(Spec {
        speed: 1.0,
        ..spec()
    })
    .await;
    for stream in [true, false] {
        let body = json!({"model": "m", "prompt": "go", "max_tokens": 30_000, "ignore_eos": true, "stream": stream});
        let client: Client<_, Full<Bytes>> =
            Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let request = Request::post(rig.uri("/v1/completions"))
            .body(Full::from(body.to_string()))
            .unwrap();
        let pending = tokio::spawn(async move {
            client
                .request(request)
                .await
                .unwrap()
                .into_body()
                .collect()
                .await
        });
        rig.metric_becomes("vllm:num_requests_running{", 1.0).await;
        pending.abort();
        rig.metric_becomes("vllm:num_requests_running{", 0.0).await;
    }
    assert_eq!(
        rig.metric("vllm:request_success_total{engine=\"0\",finished_reason=\"abort\"")
            .await,
        2.0
    );
    assert_eq!(rig.metric("vllm:kv_cache_usage_perc").await, 0.0);
}

#[tokio::test]
async fn shutdown_finishes_streams_and_takes_no_more() {
    let rig = Rig::start(spec()).await;
    let body = json!({"prompt": "x", "max_tokens": 300, "ignore_eos": true, "stream": true});
    let response = rig.send("/v1/completions", body.to_string()).await;
    let address = rig.server.address();
    let reader = tokio::spawn(response.into_body().collect());
    rig.server.shutdown().await;
    let text = reader.await.unwrap().unwrap().to_bytes();
    assert_eq!(events(std::str::from_utf8(&text).unwrap()).len(), 300);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn abort_cuts_streams_and_frees_the_port() {
    let rig = Rig::start(spec()).await;
    let body = json!({"prompt": "x", "max_tokens": 30_000, "ignore_eos": true, "stream": true});
    let response = rig.send("/v1/completions", body.to_string()).await;
    let address = rig.server.address();
    let reader = tokio::spawn(response.into_body().collect());
    rig.server.abort().await;
    assert!(
        reader.await.unwrap().is_err(),
        "the stream ended as if it were complete"
    );
    let again = Spec {
        port: address.port(),
        ..spec()
    };
    assert_eq!(Server::start(again).await.unwrap().address(), address);
}
