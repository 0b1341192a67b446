//! Requests that the server refuses, and its messages.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use trimtab_modelserver::{Server, Spec};

use crate::rig::{Rig, read, spec, words};

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
    // None of the refused requests has left anything behind.
    let (status, _) = rig
        .post(
            "/v1/completions",
            json!({"prompt": "x", "n": 4, "max_tokens": 1}),
        )
        .await;
    assert_eq!(status, 200);
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

/// A server that answers earlier closes the connection while the client still sends. A proxy then
/// reports a broken connection instead of the answer.
#[tokio::test]
async fn nothing_is_answered_before_the_whole_request_is_there() {
    let spec = Spec {
        max_body_bytes: 100_000,
        ..spec()
    };
    let rig = Rig::start(spec).await;
    for (path, length, status) in [
        ("/v1/nothing", 90_000, "404"),
        ("/v1/models", 90_000, "405"),
        ("/ping", 90_000, "200"),
        ("/v1/completions", 90_000, "400"),
        ("/v1/completions", 300_000, "413"),
        ("/v1/nothing", 300_000, "413"),
    ] {
        let mut stream = TcpStream::connect(rig.server.address()).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; length - 1]).await.unwrap();
        let mut answer = vec![0; 12];
        let early = timeout(Duration::from_millis(100), stream.read_exact(&mut answer)).await;
        assert!(early.is_err(), "{path}: answered early");
        stream.write_all(b"x").await.unwrap();
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, format!("HTTP/1.1 {status}").as_bytes(), "{path}");
    }
}
