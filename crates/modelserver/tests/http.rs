//! A real server over real sockets, asked with a bare HTTP client.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use trimtab_modelserver::{MetricsPage, Profile, Server, Spec};

struct Rig {
    server: Server,
    client: Client<HttpConnector, Full<Bytes>>,
}

fn spec() -> Spec {
    // Ten times an H100, so that tests are quick: 0.65 ms a step.
    Spec {
        speed: 10.0,
        model: "m".to_owned(),
        ..Spec::new("test", Profile::named("h100").unwrap())
    }
}

impl Rig {
    async fn start(spec: Spec) -> Self {
        let server = Server::start(spec).await.unwrap();
        Self {
            server,
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    fn uri(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    async fn send(&self, path: &str, body: impl Into<Bytes>) -> Response<Incoming> {
        let request = Request::post(self.uri(path))
            .body(Full::new(body.into()))
            .unwrap();
        self.client.request(request).await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        read(self.send(path, body.to_string()).await).await
    }

    async fn text(&self, path: &str) -> String {
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

    /// Value of the sample that starts with `series`.
    async fn metric(&self, series: &str) -> f64 {
        let page = self.text("/metrics").await;
        let line = page.lines().find(|line| line.starts_with(series));
        let line = line.unwrap_or_else(|| panic!("no {series} on the page"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    /// Waits until a series has a value.
    async fn metric_becomes(&self, series: &str, wanted: f64) {
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

async fn read(response: Response<Incoming>) -> (u16, Value) {
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (
        status,
        serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{e}: {bytes:?}")),
    )
}

/// The JSON of every event; asserts that the stream is well formed and ends with `[DONE]`.
fn events(text: &str) -> Vec<Value> {
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

fn words(count: usize, salt: &str) -> String {
    (0..count).map(|i| format!("{salt}{i} ")).collect()
}

#[tokio::test]
async fn the_same_request_gets_the_same_answer_streamed_or_whole() {
    let rig = Rig::start(spec()).await;
    let body = |stream: bool| {
        json!({"model": "m", "messages": [{"role": "user", "content": "say it all"}], "max_tokens": 40,
               "stream": stream, "stream_options": {"include_usage": true}})
    };
    let (status, whole) = rig.post("/v1/chat/completions", body(false)).await;
    assert_eq!(status, 200, "{whole}");
    let response = rig
        .send("/v1/chat/completions", body(true).to_string())
        .await;
    assert_eq!(
        response.headers()["content-type"],
        "text/event-stream; charset=utf-8"
    );
    let text = response.into_body().collect().await.unwrap().to_bytes();
    let events = events(std::str::from_utf8(&text).unwrap());
    let delta = |event: &Value| {
        event["choices"][0]["delta"]["content"]
            .as_str()
            .unwrap_or("")
            .to_owned()
    };
    let streamed: String = events.iter().map(delta).collect();
    assert_eq!(whole["choices"][0]["message"]["content"], streamed);
    assert_eq!(streamed.split_whitespace().count(), 40);
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    let (usage, last) = (&events[events.len() - 1], &events[events.len() - 2]);
    assert_eq!(last["choices"][0]["finish_reason"], "length");
    assert_eq!(usage["choices"], json!([]));
    // Role, three short words, end, and the role of the answer.
    assert_eq!(usage["usage"]["prompt_tokens"], 6);
    assert_eq!(usage["usage"]["completion_tokens"], 40);
    assert_eq!(usage["usage"]["total_tokens"], 46);
    assert_eq!(whole["usage"]["prompt_tokens"], 6);
}

#[tokio::test]
async fn headers_come_at_once_and_the_first_chunk_when_prefill_is_done() {
    // About 0.25 s of prefill.
    let rig = Rig::start(Spec {
        speed: 1.0,
        ..spec()
    })
    .await;
    let body = json!({"model": "m", "prompt": words(5_000, "w"), "max_tokens": 3, "stream": true});
    let begun = Instant::now();
    let response = rig.send("/v1/completions", body.to_string()).await;
    let head_s = begun.elapsed().as_secs_f64();
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let first_s = begun.elapsed().as_secs_f64();
    let prefill_s: f64 = [(0.0, 2_048.0), (2_048.0, 2_048.0), (4_096.0, 904.0)]
        .iter()
        .map(|(at, n)| 6.5e-3 + 42e-6 * n * (1.0 + (at + n / 2.0) / 32_000.0))
        .sum();
    assert!(head_s < prefill_s / 2.0, "headers after {head_s} s");
    assert!(
        first_s >= prefill_s,
        "first chunk after {first_s} s, prefill takes {prefill_s} s"
    );
    assert!(first.starts_with(b"data: {"));
}

#[tokio::test]
async fn the_next_turn_finds_prompt_and_answer_in_the_cache() {
    let rig = Rig::start(spec()).await;
    let mut messages = vec![json!({"role": "user", "content": words(100, "w")})];
    let ask = |messages: &[Value]| json!({"model": "m", "messages": messages, "max_tokens": 60, "ignore_eos": true});
    let (_, first) = rig.post("/v1/chat/completions", ask(&messages)).await;
    assert_eq!(first["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
    messages.push(first["choices"][0]["message"].clone());
    messages.push(json!({"role": "user", "content": "and then what happened after that"}));
    let (_, second) = rig.post("/v1/chat/completions", ask(&messages)).await;
    // 103 prompt tokens and 60 answered; the KV of the last one was never computed: 162 / 16 = 10 blocks.
    assert_eq!(
        second["usage"]["prompt_tokens_details"]["cached_tokens"],
        160
    );
    rig.metric_becomes("vllm:prefix_cache_hits_total", 160.0)
        .await;
}

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
async fn what_is_wrong_with_a_request_is_said_in_openais_shape() {
    let spec = Spec {
        max_model_len: 100,
        max_body_bytes: 4_096,
        max_sequences: 4,
        ..spec()
    };
    let rig = Rig::start(spec).await;
    let user = json!([{"role": "user", "content": "x"}]);
    let cases = [
        (
            "/v1/chat/completions",
            json!({"model": "n", "messages": user}),
            404,
            "`n` does not exist",
        ),
        (
            "/v1/chat/completions",
            json!({"messages": []}),
            400,
            "at least one message",
        ),
        (
            "/v1/chat/completions",
            json!({"messages": 3}),
            400,
            "not a valid request",
        ),
        (
            "/v1/chat/completions",
            json!({"messages": user, "max_tokens": 0}),
            400,
            "at least 1",
        ),
        (
            "/v1/chat/completions",
            json!({"messages": user, "max_tokens": -1}),
            400,
            "not a valid request",
        ),
        (
            "/v1/chat/completions",
            json!({"messages": user, "max_tokens": 97}),
            400,
            "maximum context length is 100",
        ),
        (
            "/v1/chat/completions",
            json!({"messages": user, "n": 129}),
            400,
            "1 to 128",
        ),
        (
            "/v1/chat/completions",
            json!({"messages": user, "n": 5, "max_tokens": 1}),
            503,
            "max_sequences",
        ),
        (
            "/v1/chat/completions",
            json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}),
            400,
            "image_url",
        ),
        ("/v1/completions", json!({}), 400, "'prompt' is missing"),
        (
            "/v1/completions",
            json!({"prompt": "  "}),
            400,
            "at least one token",
        ),
        (
            "/v1/completions",
            json!({"prompt": []}),
            400,
            "at least one token",
        ),
        (
            "/v1/completions",
            json!({"prompt": words(101, "")}),
            400,
            "contains 101 input tokens",
        ),
        (
            "/v1/completions",
            json!({"prompt": words(5_000, "")}),
            413,
            "max_body_bytes",
        ),
        ("/v1/nothing", json!({}), 404, "nothing at /v1/nothing"),
        ("/v1/models", json!({}), 405, "does not take POST"),
    ];
    for (path, body, status, says) in cases {
        let (got, answer) = rig.post(path, body.clone()).await;
        let error = &answer["error"];
        assert_eq!(got, status, "{path}: {answer}");
        assert!(
            error["message"].as_str().unwrap().contains(says),
            "{answer}"
        );
        assert_eq!(error["code"], status);
        assert!(error["type"].is_string() && error.get("param").is_some());
    }
    let (status, _) = read(
        rig.send("/v1/chat/completions", "{\"messages\"".to_owned())
            .await,
    )
    .await;
    assert_eq!(status, 400);
    // Nothing of all that is left behind.
    let (status, _) = rig
        .post(
            "/v1/completions",
            json!({"prompt": "x", "n": 4, "max_tokens": 1}),
        )
        .await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn several_prompts_and_n_give_one_choice_each() {
    let rig = Rig::start(spec()).await;
    let body = json!({"model": "m", "prompt": [words(20, "a"), words(20, "b")], "n": 2, "max_tokens": 5, "stream": true});
    let response = rig.send("/v1/completions", body.to_string()).await;
    let text = response.into_body().collect().await.unwrap().to_bytes();
    let mut texts = vec![String::new(); 4];
    for event in events(std::str::from_utf8(&text).unwrap()) {
        let choice = &event["choices"][0];
        texts[choice["index"].as_u64().unwrap() as usize] += choice["text"].as_str().unwrap();
    }
    assert!(
        texts
            .iter()
            .all(|text| text.split_whitespace().count() == 5),
        "{texts:?}"
    );
    assert_eq!(
        texts.iter().collect::<std::collections::HashSet<_>>().len(),
        4,
        "{texts:?}"
    );
    let ids = json!({"prompt": [[1, 2, 3], [4, 5]], "max_tokens": 1});
    let (_, answer) = rig.post("/v1/completions", ids).await;
    assert_eq!(answer["usage"]["prompt_tokens"], 5);
}

#[tokio::test]
async fn adapters_come_and_go_over_http_and_show_on_the_page() {
    let rig = Rig::start(Spec {
        adapters: vec!["first".to_owned()],
        ..spec()
    })
    .await;
    let ids = |models: Value| -> Vec<String> {
        models["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| m["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let models = || async { ids(serde_json::from_str(&rig.text("/v1/models").await).unwrap()) };
    assert_eq!(models().await, ["m", "first"]);
    let load = json!({"lora_name": "second", "lora_path": "/x"}).to_string();
    assert_eq!(
        rig.send("/v1/load_lora_adapter", load.clone())
            .await
            .status(),
        200
    );
    assert_eq!(rig.send("/v1/load_lora_adapter", load).await.status(), 400);
    assert_eq!(models().await, ["m", "first", "second"]);
    let body = json!({"model": "second", "prompt": "x", "max_tokens": 5, "ignore_eos": true});
    assert_eq!(rig.post("/v1/completions", body.clone()).await.0, 200);
    let page = rig.text("/metrics").await;
    assert!(
        page.contains("vllm:lora_requests_info{max_lora=\"8\",running_lora_adapters=\"second\",waiting_lora_adapters=\"\"}"),
        "{page}"
    );
    let unload = json!({"lora_name": "second"});
    assert_eq!(
        rig.send("/v1/unload_lora_adapter", unload.to_string())
            .await
            .status(),
        200
    );
    assert_eq!(rig.post("/v1/unload_lora_adapter", unload).await.0, 404);
    assert_eq!(rig.post("/v1/completions", body).await.0, 404);
}

#[tokio::test]
async fn names_select_samples_only_behind_the_slash_and_not_in_multi_process_mode() {
    let query =
        "name%5B%5D=vllm:num_requests_waiting&name[]=vllm:prompt_tokens_total&name[]=nothing";
    let rig = Rig::start(spec()).await;
    let selected = rig.text(&format!("/metrics/?{query}")).await;
    let samples: Vec<&str> = selected
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert_eq!(samples.len(), 2, "{selected}");
    let whole = rig.text("/metrics").await;
    assert_eq!(rig.text(&format!("/metrics?{query}")).await, whole);
    assert_eq!(rig.text("/metrics/").await, whole);
    let metrics = MetricsPage {
        multi_process: true,
        full: false,
    };
    let multi = Rig::start(Spec { metrics, ..spec() }).await;
    assert_eq!(multi.text(&format!("/metrics/?{query}")).await, "");
    assert!(
        multi
            .text("/metrics/")
            .await
            .contains("vllm:num_requests_waiting{")
    );
}

#[tokio::test]
async fn the_full_page_is_as_large_as_the_real_one() {
    let metrics = MetricsPage {
        multi_process: false,
        full: true,
    };
    let rig = Rig::start(Spec { metrics, ..spec() }).await;
    rig.post("/v1/completions", json!({"prompt": "x", "max_tokens": 5}))
        .await;
    let page = rig.text("/metrics").await;
    assert!(
        (40_000..70_000).contains(&page.len()),
        "{} bytes",
        page.len()
    );
    for family in [
        "python_info",
        "process_start_time_seconds",
        "vllm:num_preemptions_created",
        "http_requests_total",
    ] {
        assert!(page.contains(&format!("# TYPE {family} ")), "{family}");
    }
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

#[tokio::test]
async fn a_port_in_use_and_a_senseless_spec_are_refused_with_the_reason() {
    let rig = Rig::start(spec()).await;
    let taken = Server::start(Spec {
        port: rig.server.address().port(),
        ..spec()
    })
    .await
    .unwrap_err()
    .to_string();
    assert!(taken.contains("choose another port"), "{taken}");
    let senseless = Spec {
        model: String::new(),
        speed: -1.0,
        max_model_len: 1,
        ..spec()
    };
    let error = Server::start(senseless).await.unwrap_err().to_string();
    for field in ["model:", "max_model_len: 1", "speed"] {
        assert!(error.contains(field), "{error}");
    }
}
