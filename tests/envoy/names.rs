//! Tests everything that servers keep under a name: whoever names it must reach its server.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::support::server::Server;
use crate::support::stage::StageOptions;
use crate::support::{Answer, ScriptedAggregator, Stage, client, row, table};

/// What one server has made. Each of its names ends with `-s` and its number.
struct Store {
    number: usize,
    made: AtomicUsize,
}

impl Store {
    fn name(&self, kind: &str) -> String {
        let made = self.made.fetch_add(1, Ordering::Relaxed);
        format!("{kind}{made}-s{}", self.number)
    }

    /// Whether the text has no name of another server.
    fn knows(&self, text: &str) -> bool {
        let numbers = text.split("-s").skip(1);
        let foreign = |rest: &str| !rest.starts_with(&self.number.to_string());
        !numbers.into_iter().any(foreign)
    }
}

/// Answers 400 to what it does not know, and not 404: so no search finds the right server.
async fn serve(State(store): State<Arc<Store>>, method: Method, uri: Uri, body: Bytes) -> Response {
    let (path, body) = (uri.path(), String::from_utf8_lossy(&body));
    if !store.knows(path) || !store.knows(&body) {
        return (StatusCode::BAD_REQUEST, "not here").into_response();
    }
    let answer = match (method, path) {
        (Method::POST, "/v1/responses") => json!({
            "object": "response",
            "id": store.name("resp_"),
            "output": [
                {"type": "code_interpreter_call", "id": store.name("ci_"), "container_id": store.name("cntr_")},
                {"type": "message", "content": [{"type": "output_text", "text": "hello"}], "id": store.name("msg_")},
            ],
        }),
        (Method::POST, "/open_session") => json!(store.name("session")),
        (Method::POST, path) if path.starts_with("/v1/") && path.matches('/').count() == 2 => {
            json!({"object": "x", "id": store.name("thing_")})
        }
        (Method::GET, path) if path.starts_with("/v1/batches/") => json!({
            "id": path.rsplit('/').next(),
            "errors": null,
            "output_file_id": store.name("file-"),
            "error_file_id": store.name("file-"),
        }),
        _ => json!({"choices": []}),
    };
    axum::Json(answer).into_response()
}

/// An Envoy before four such servers.
struct Scene {
    stage: Stage,
    _aggregator: ScriptedAggregator,
    _servers: Vec<Server>,
}

impl Scene {
    async fn start() -> Self {
        let mut servers = Vec::new();
        for number in 0..4 {
            let made = AtomicUsize::new(0);
            let router = Router::new()
                .fallback(serve)
                .with_state(Arc::new(Store { number, made }));
            let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            servers.push(Server::start_at(any, router).await);
        }
        let addresses: Vec<SocketAddr> = servers.iter().map(|server| server.address).collect();
        let rows = addresses.iter().map(|address| row(&address.to_string(), 0));
        let aggregator = ScriptedAggregator::start(Answer::Table(table(1, rows.collect()))).await;
        let options = StageOptions {
            plugin: Some("\"table_max_age\": \"60s\"".to_owned()),
            ..StageOptions::default()
        };
        let stage = Stage::start(&addresses, aggregator.address, options).await;
        stage.placing().await;
        Self {
            stage,
            _aggregator: aggregator,
            _servers: servers,
        }
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let kind = [("content-type", "application/json")];
        let answer = client::post(self.stage.address, path, &kind, body.to_string()).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status, 200, "{path} {body}");
        serde_json::from_slice(&answer.body).unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let answer = client::bare(self.stage.address, Method::GET, path, &[]).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status, 200, "{path}");
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Makes something, and returns its name.
    async fn make(&self, path: &str) -> Value {
        self.post(path, json!({"model": "m"})).await["id"].clone()
    }
}

const ROUNDS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn the_results_of_a_batch_are_asked_of_the_server_that_has_them() {
    let scene = Scene::start().await;
    for _ in 0..ROUNDS {
        let batch = scene.make("/v1/batches").await;
        let batch = scene
            .get(&format!("/v1/batches/{}", batch.as_str().unwrap()))
            .await;
        for file in ["output_file_id", "error_file_id"] {
            let name = batch[file].as_str().unwrap();
            scene.get(&format!("/v1/files/{name}/content")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn items_and_containers_of_a_response_are_found_where_it_was_made() {
    let scene = Scene::start().await;
    let input = "word ".repeat(5_000);
    for _ in 0..ROUNDS {
        let made = scene.post("/v1/responses", json!({"input": "hi"})).await;
        let (code, message) = (&made["output"][0], &made["output"][1]);
        let reference = json!({"type": "item_reference", "id": message["id"]});
        for body in [
            json!({"input": [{"role": "user", "content": "hi"}, reference, {"role": "user", "content": input}]}),
            json!({"input": [{"id": code["id"]}]}),
            json!({"input": input, "tools": [{"type": "code_interpreter", "container": code["container_id"]}]}),
            json!({"input": "hi", "previous_response_id": made["id"]}),
        ] {
            scene.post("/v1/responses", body).await;
        }
        let container = code["container_id"].as_str().unwrap();
        scene
            .get(&format!("/v1/containers/{container}/files"))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_makes_by_itself_is_found_where_it_was_made() {
    let scene = Scene::start().await;
    for _ in 0..ROUNDS {
        let container = scene.make("/v1/containers").await;
        let conversation = scene.make("/v1/conversations").await;
        let store = scene.make("/v1/vector_stores").await;
        let file = scene.make("/v1/files").await;
        let auto = json!({"type": "auto", "file_ids": [file]});
        for body in [
            json!({"input": "hi", "tools": [{"type": "code_interpreter", "container": container}]}),
            json!({"input": "hi", "tools": [{"type": "code_interpreter", "container": auto}]}),
            json!({"input": "hi", "tools": [{"type": "file_search", "vector_store_ids": [store]}]}),
            json!({"input": "hi", "conversation": conversation}),
            json!({"input": "hi", "conversation": {"id": conversation}}),
        ] {
            scene.post("/v1/responses", body).await;
        }
        let name = conversation.as_str().unwrap();
        scene.get(&format!("/v1/conversations/{name}/items")).await;
        let body = json!({"model": "m", "container": container, "messages": []});
        scene.post("/v1/messages", body).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_sglang_stays_on_the_server_that_opened_it() {
    let scene = Scene::start().await;
    for _ in 0..ROUNDS {
        let open = json!({"capacity_of_str_len": 1_000});
        let session = scene.post("/open_session", open).await;
        for turn in 0..4 {
            let params = json!({"id": session, "rid": null, "offset": -1, "replace": true});
            let text = format!("turn {turn}");
            let body = json!({"text": text, "sampling_params": {}, "session_params": params});
            scene.post("/generate", body).await;
        }
        scene
            .post("/close_session", json!({"session_id": session}))
            .await;
    }
}
