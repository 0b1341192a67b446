//! Tests unusual ways through the proxy, in either form. None may leave a request in flight or lose
//! an answer.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::client::{DECISION, chat_body};
use crate::support::config::Form;
use crate::support::{Backend, ScriptedAggregator, Stage, StageOptions, eventually, post};

const CHAT: &str = "/v1/chat/completions";
const JSON: (&str, &str) = ("content-type", "application/json");

/// Waits until the newest report has nothing in flight and counts `sent` requests more than
/// `before`.
async fn settled(aggregator: &ScriptedAggregator, before: u64, sent: u64) {
    eventually("nothing is in flight", async || {
        aggregator.nudge();
        let rows = aggregator.last_report()?.endpoints;
        let open: u32 = rows.iter().map(|row| row.in_flight).sum();
        (open == 0 && total(aggregator) == before + sent).then_some(())
    })
    .await;
}

fn total(aggregator: &ScriptedAggregator) -> u64 {
    let report = aggregator.last_report();
    report.map_or(0, |report| {
        report.endpoints.iter().map(|row| row.sent).sum()
    })
}

async fn stage(form: Form, routes: Value, a: &Backend) -> (Stage, ScriptedAggregator, u64) {
    let options = StageOptions {
        form,
        overlay: json!({ "routes": routes }),
        ..StageOptions::default()
    };
    let (stage, aggregator) = Stage::placing_by(options, &[(a, 0)]).await;
    let mut last = 0;
    let before = eventually("the warm-up is over", async || {
        aggregator.nudge();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let report = aggregator.last_report()?;
        let open: u32 = report.endpoints.iter().map(|row| row.in_flight).sum();
        let sent = total(&aggregator);
        // Every worker has reported everything when two readings are equal.
        let same = std::mem::replace(&mut last, sent) == sent;
        (open == 0 && same && sent >= 24).then_some(sent)
    })
    .await;
    (stage, aggregator, before)
}

/// Sends the parts of a request unchanged. Returns all bytes of the answer until the connection
/// closes.
async fn raw(to: std::net::SocketAddr, parts: &[&str]) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    for part in parts {
        stream.write_all(part.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_100_continue_gets_it_and_its_answer() {
    for form in [Form::Single, Form::Pair] {
        let a = Backend::start().await;
        let (stage, aggregator, before) = stage(form, json!([]), &a).await;
        let body = chat_body("after 100");
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: models.example\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let answer = raw(stage.address, &[&head, &body]).await;
        assert!(
            answer.starts_with("HTTP/1.1 100 Continue\r\n"),
            "{form:?}: {answer}"
        );
        assert!(answer.contains("HTTP/1.1 200 OK\r\n"), "{form:?}: {answer}");
        assert!(answer.contains("endpoint="), "{form:?}: {answer}");
        assert_eq!(a.seen().pop().unwrap().body, body);
        settled(&aggregator, before, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_internal_redirect_is_decided_anew_and_both_ends_are_booked() {
    for form in [Form::Single, Form::Pair] {
        let a = Backend::start().await;
        let routes = json!([{
            "match": {"prefix": "/moved"},
            "route": {"cluster": "model_servers", "timeout": "0s",
                "internal_redirect_policy": {"max_internal_redirects": 2}},
        }]);
        let (stage, aggregator, before) = stage(form, routes, &a).await;
        for n in 0..5 {
            let body = chat_body(&format!("moved {n}"));
            let path = format!("/moved{CHAT}");
            let response = post(stage.address, &path, &[JSON], body.clone())
                .await
                .unwrap();
            assert_eq!(response.status, 200, "{form:?}");
            let seen = a.seen().pop().unwrap();
            assert_eq!((seen.path.as_str(), seen.body), (CHAT, Bytes::from(body)));
            let decision = response.header(DECISION);
            assert!(decision.contains("endpoint="), "{form:?}: {decision}");
        }
        settled(&aggregator, before, 10).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shadow_requests_go_out_and_are_not_counted_as_the_clients() {
    for form in [Form::Single, Form::Pair] {
        let a = Backend::start().await;
        let routes = json!([{
            "match": {"prefix": "/shadowed"},
            "route": {"cluster": "model_servers", "timeout": "0s",
                "request_mirror_policies": [{"cluster": "model_servers"}]},
        }]);
        let (stage, aggregator, before) = stage(form, routes, &a).await;
        let count = a.count();
        for n in 0..5 {
            let body = chat_body(&format!("shadowed {n}"));
            let path = format!("/shadowed{CHAT}");
            post(stage.address, &path, &[JSON], body)
                .await
                .unwrap()
                .ok();
        }
        eventually("each request came twice", async || {
            (a.count() == count + 10).then_some(())
        })
        .await;
        settled(&aggregator, before, 5).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_before_headers_or_in_the_body_are_forgotten() {
    for form in [Form::Single, Form::Pair] {
        let a = Backend::start().await;
        let (stage, aggregator, before) = stage(form, json!([]), &a).await;
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: models.example\r\ncontent-type: application/json\r\ncontent-length: 50000\r\n"
        );
        for sent in [
            head.clone(),
            format!("{head}\r\n"),
            format!("{head}\r\n{{\"model\": "),
        ] {
            let mut stream = TcpStream::connect(stage.address).await.unwrap();
            stream.write_all(sent.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(150)).await;
            drop(stream);
        }
        let whole = chat_body("after those that left");
        post(stage.address, CHAT, &[JSON], whole)
            .await
            .unwrap()
            .ok();
        settled(&aggregator, before, 1).await;
        assert_eq!(
            stage
                .metric("trimtab_setup_errors_total.pool.default.reason.late")
                .await,
            0
        );
    }
}
