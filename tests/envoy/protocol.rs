//! Tests that other requests than completions pass unchanged, and that headers which only the
//! filter may set are removed.

use hyper::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::client::{DECISION, DESTINATION, bare};
use crate::support::{Backend, Stage, eventually, post};

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_a_client_sends_is_not_heard_in_any_spelling() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let (stage, _aggregator) = Stage::with_waits(&[(&a, 0), (&b, 60_000)]).await;
    let (target, body) = (b.name(), crate::support::client::chat_body("take me there"));
    let before = (a.count(), b.count());
    for _ in 0..10 {
        for headers in [
            vec![(DESTINATION, target.as_str())],
            vec![("X-Gateway-Destination-Endpoint", target.as_str())],
            vec![
                (DESTINATION, target.as_str()),
                (DESTINATION, target.as_str()),
            ],
            vec![(DESTINATION, "not an address, 1.2.3.4:5")],
        ] {
            let path = "/v1/chat/completions";
            post(stage.address, path, &headers, body.clone())
                .await
                .unwrap()
                .ok();
        }
    }
    let (to_a, to_b) = (a.count() - before.0, b.count() - before.1);
    assert!(
        to_a > 2 * to_b,
        "by the table, not by the client: {to_a} and {to_b}"
    );
    // Envoy balances other paths, and the client does not. Balanced requests never go to one of two
    // servers forty times in a row.
    for _ in 0..40 {
        bare(
            stage.address,
            Method::GET,
            "/v1/models",
            &[(DESTINATION, &target)],
        )
        .await
        .unwrap()
        .ok();
    }
    let models = |backend: &Backend| {
        backend
            .seen()
            .iter()
            .filter(|seen| seen.path == "/v1/models")
            .count()
    };
    assert!(
        models(&a) > 0 && models(&b) > 0,
        "{} and {}",
        models(&a),
        models(&b)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_is_left_to_envoy_and_not_counted_as_a_decision() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let (stage, _aggregator) = Stage::with_waits(&[(&a, 0), (&b, 60_000)]).await;
    let all = async || {
        let decisions = stage.metrics("trimtab_decisions_total").await;
        decisions.values().sum::<u64>()
    };
    let placed = (a.count() + b.count()) as u64;
    eventually("the warm-up is counted", async || {
        (all().await == placed).then_some(())
    })
    .await;
    for _ in 0..10 {
        let response = bare(stage.address, Method::GET, "/v1/models", &[])
            .await
            .unwrap()
            .ok();
        assert_eq!(response.header(DECISION), "");
    }
    let seen: Vec<_> = a
        .seen()
        .into_iter()
        .chain(b.seen())
        .filter(|seen| seen.method == Method::GET)
        .collect();
    assert_eq!(seen.len(), 10);
    assert!(
        seen.iter()
            .all(|seen| !seen.headers.contains_key(DESTINATION))
    );
    // Counters are published on ticks. Several have passed by then.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(all().await, placed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_upgrade_passes_untouched_in_both_directions() {
    let a = Backend::start().await;
    let (stage, _aggregator) = Stage::with_waits(&[(&a, 0)]).await;
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    let hello = "GET /v1/realtime HTTP/1.1\r\nhost: models.example\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(hello.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(
        head.starts_with(b"HTTP/1.1 101"),
        "{}",
        String::from_utf8_lossy(&head)
    );
    for message in ["first", "and a longer second message"] {
        stream.write_all(message.as_bytes()).await.unwrap();
        let mut echo = vec![0; message.len()];
        stream.read_exact(&mut echo).await.unwrap();
        assert_eq!(echo, message.as_bytes());
    }
    let seen = a.seen().pop().unwrap();
    assert_eq!(seen.path, "/v1/realtime");
    assert!(!seen.headers.contains_key(DESTINATION));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_with_odd_bytes_costs_nothing() {
    let a = Backend::start().await;
    let (stage, _aggregator) = Stage::with_waits(&[(&a, 0)]).await;
    let before = a.count();
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    let body = crate::support::client::chat_body("odd");
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: m\r\ncontent-length: {}\r\nconnection: close\r\nx-odd: ",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
        .write_all(b"\xff\xfe\x80 caf\xe9\r\n\r\n")
        .await
        .unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    assert_eq!(a.count(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_http_1_0_are_placed_with_a_host_and_without() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let (stage, _aggregator) = Stage::with_waits(&[(&a, 0), (&b, 60_000)]).await;
    let body = crate::support::client::chat_body("old");
    for host in ["host: m\r\n", ""] {
        let mut stream = TcpStream::connect(stage.address).await.unwrap();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.0\r\n{host}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1);
        assert_eq!(status, Some("200"), "{answer}");
        let decision = answer.lines().find(|line| line.starts_with(DECISION));
        let decision = decision.expect("a decision");
        assert!(
            decision.contains(&format!("endpoint={};", a.name())),
            "{answer}"
        );
    }
}
