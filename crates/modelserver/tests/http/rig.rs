//! One server and a client for it.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::time::{Duration, Instant};
use trimtab_modelserver::{Profile, Server, Spec};

pub(crate) struct Rig {
    pub(crate) server: Server,
    client: Client<HttpConnector, Full<Bytes>>,
}

pub(crate) fn spec() -> Spec {
    // Ten times as fast as an H100, so that tests are quick: 0.65 ms per step.
    Spec {
        speed: 10.0,
        model: "m".to_owned(),
        ..Spec::new("test", Profile::named("h100").unwrap())
    }
}

impl Rig {
    pub(crate) async fn start(spec: Spec) -> Self {
        let server = Server::start(spec).await.unwrap();
        Self {
            server,
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    pub(crate) fn uri(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    pub(crate) async fn send(&self, path: &str, body: impl Into<Bytes>) -> Response<Incoming> {
        let request = Request::post(self.uri(path))
            .body(Full::new(body.into()))
            .unwrap();
        self.client.request(request).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        read(self.send(path, body.to_string()).await).await
    }

    /// Sends a request without a body.
    pub(crate) async fn ask(&self, method: &str, path: &str) -> (u16, Value) {
        let request = Request::builder().method(method).uri(self.uri(path));
        let request = request.body(Full::default()).unwrap();
        read(self.client.request(request).await.unwrap()).await
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        let response = self
            .client
            .get(self.uri(path).parse().unwrap())
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{path}");
        String::from_utf8(
            response
                .into_body()
                .collect()
                .await
                .unwrap()
                .to_bytes()
                .to_vec(),
        )
        .unwrap()
    }

    /// Returns the value of the sample that starts with `series`.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let page = self.text("/metrics").await;
        let line = page.lines().find(|line| line.starts_with(series));
        let line = line.unwrap_or_else(|| panic!("no {series} on the page"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    /// Waits until a series has a value.
    pub(crate) async fn metric_becomes(&self, series: &str, wanted: f64) {
        let begun = Instant::now();
        while self.metric(series).await != wanted {
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "{series} is not {wanted} after 10 s"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub(crate) async fn read(response: Response<Incoming>) -> (u16, Value) {
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (
        status,
        serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{e}: {bytes:?}")),
    )
}

/// Returns the JSON of every event. Asserts that the stream is well formed and ends with `[DONE]`.
pub(crate) fn events(text: &str) -> Vec<Value> {
    let events: Vec<&str> = text
        .split_terminator("\n\n")
        .map(|event| event.strip_prefix("data: ").unwrap())
        .collect();
    let (done, events) = events.split_last().unwrap();
    assert_eq!(*done, "[DONE]");
    events
        .iter()
        .map(|event| serde_json::from_str(event).unwrap())
        .collect()
}

pub(crate) fn words(count: usize, salt: &str) -> String {
    (0..count).map(|i| format!("{salt}{i} ")).collect()
}
