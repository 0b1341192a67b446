//! Tests servers that leave. Conversations leave a draining server; all requests leave one that
//! hangs or sleeps.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::support::fleet::Fleet;
use crate::support::load::ask_for;
use crate::support::server::Server;
use crate::support::{chat, client, eventually};

/// The conversations of a test, each with its own past.
struct Talks {
    proxy: SocketAddr,
    pasts: Vec<Vec<Value>>,
}

impl Talks {
    fn new(proxy: SocketAddr, count: usize) -> Self {
        let system = |n| {
            format!(
                "You are helper number {n}. {}",
                "Answer briefly. ".repeat(400)
            )
        };
        let past = |n| vec![json!({"role": "system", "content": system(n)})];
        let pasts = (0..count).map(past).collect();
        Self { proxy, pasts }
    }

    /// Sends one more turn of each conversation. Returns where each went.
    async fn turn(&mut self) -> Vec<String> {
        let mut endpoints = Vec::new();
        for past in &mut self.pasts {
            past.push(json!({"role": "user", "content": "And then?"}));
            let body = json!({"model": "m", "messages": past, "max_tokens": 4}).to_string();
            let path = "/v1/chat/completions";
            let answer = client::post(self.proxy, path, &[], body)
                .await
                .unwrap()
                .ok();
            past.push(json!({"role": "assistant", "content": "Then it was told."}));
            endpoints.push(answer.endpoint().to_owned());
        }
        endpoints
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_leave_a_server_that_drains_with_the_next_table_and_come_to_no_harm() {
    let mut fleet = Fleet::start(&[1.0, 1.0, 1.0]).await;
    let leaving = fleet.servers[0].address;
    let mut talks = Talks::new(fleet.stage.address, 24);
    for _ in 0..2 {
        talks.turn().await;
    }
    let homes = talks.turn().await;
    let lived = homes
        .iter()
        .filter(|home| **home == leaving.to_string())
        .count();
    assert!(lived >= 2, "some live there: {homes:?}");
    fleet.set_draining(leaving);
    eventually("the table says so", async || {
        let row = fleet.row(leaving).await;
        (row["state"] == "draining").then_some(())
    })
    .await;
    // Tables come to both workers several times a second.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = fleet.sent_to(leaving).await;
    let mut later = Vec::new();
    for _ in 0..3 {
        later.push(talks.turn().await);
    }
    assert_eq!(fleet.sent_to(leaving).await, before, "{later:?}");
    let stays = later[0]
        .iter()
        .zip(&later[2])
        .filter(|(a, b)| a == b)
        .count();
    assert!(stays >= 20, "they have a new home: {later:?}");
}

/// Longest time during which a server that hangs may still get requests.
const NOTICED: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stands_still_is_left_within_three_seconds_and_used_again_when_it_goes_on() {
    let fleet = Fleet::start(&[1.0, 1.0, 1.0]).await;
    let (proxy, hung) = (fleet.stage.address, fleet.servers[0].address);
    assert_eq!(ask_for(proxy, Duration::from_secs(2)).await, 0);
    fleet.servers[0].stop();
    // Requests that reach the server in this time wait for it.
    let first = tokio::spawn(ask_for(proxy, NOTICED));
    tokio::time::sleep(NOTICED).await;
    let before = fleet.sent_to(hung).await;
    assert_eq!(
        ask_for(proxy, Duration::from_secs(4)).await,
        0,
        "none started later waits"
    );
    assert_eq!(fleet.sent_to(hung).await, before);
    fleet.servers[0].go_on();
    eventually("it gets requests again", async || {
        chat(proxy, "are you there?").await.unwrap().ok();
        ask_for(proxy, Duration::from_millis(500)).await;
        (fleet.sent_to(hung).await > before).then_some(())
    })
    .await;
    first.abort();
}

/// A page of vLLM whose engine has done nothing since it started.
const STANDING_PAGE: &str = "# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name=\"m\"} 0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{model_name=\"m\"} 0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{model_name=\"m\"} 0
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{model_name=\"m\"} 1000
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{model_name=\"m\"} 1000
";

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_stands_still_behind_a_page_that_answers_is_left_within_three_seconds() {
    let router = Router::new()
        .route("/metrics", get(async || STANDING_PAGE))
        .fallback(post(async || std::future::pending::<String>().await));
    let hung = Server::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), router).await;
    let mut fleet = Fleet::start(&[1.0, 1.0]).await;
    fleet.add_address(hung.address);
    let proxy = fleet.stage.address;
    let first = eventually("it gets requests", async || {
        let asked = tokio::spawn(ask_for(proxy, Duration::from_millis(500)));
        tokio::time::sleep(Duration::from_millis(500)).await;
        (fleet.sent_to(hung.address).await > 0).then_some(asked)
    })
    .await;
    let others = tokio::spawn(ask_for(proxy, NOTICED));
    tokio::time::sleep(NOTICED).await;
    let before = fleet.sent_to(hung.address).await;
    assert_eq!(
        ask_for(proxy, Duration::from_secs(4)).await,
        0,
        "none started later waits"
    );
    assert_eq!(fleet.sent_to(hung.address).await, before);
    let row = fleet.row(hung.address).await;
    assert_eq!(row["state"], "suspect", "{row}");
    first.abort();
    others.abort();
}

/// Returns the lines that vLLM adds if it may be sent to sleep.
fn sleep_state(sleeps: bool) -> String {
    let [awake, asleep] = [u8::from(!sleeps), u8::from(sleeps)];
    let state = |name, value| {
        format!("vllm:engine_sleep_state{{model_name=\"m\",sleep_state=\"{name}\"}} {value}\n")
    };
    let help = "# TYPE vllm:engine_sleep_state gauge\n".to_owned();
    help + &state("awake", awake) + &state("weights_offloaded", asleep) + &state("discard_all", 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_sleeps_gets_nothing_until_it_is_awake_also_when_most_sleep() {
    let sleeps = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&sleeps);
    let page =
        get(async move || STANDING_PAGE.to_owned() + &sleep_state(asked.load(Ordering::SeqCst)));
    let router = Router::new()
        .route("/metrics", page)
        .fallback(post(async || r#"{"choices":[]}"#));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let sleepers = [
        Server::start_at(any, router.clone()).await,
        Server::start_at(any, router).await,
    ];
    let mut fleet = Fleet::start(&[1.0]).await;
    for sleeper in &sleepers {
        fleet.add_address(sleeper.address);
    }
    let proxy = fleet.stage.address;
    let sent = async || {
        fleet.sent_to(sleepers[0].address).await + fleet.sent_to(sleepers[1].address).await
    };
    eventually("they get requests", async || {
        ask_for(proxy, Duration::from_millis(500)).await;
        (sent().await > 0).then_some(())
    })
    .await;
    sleeps.store(true, Ordering::SeqCst);
    eventually("the table says that they get nothing", async || {
        let row = fleet.row(sleepers[0].address).await;
        (row["state"] == "draining").then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = sent().await;
    assert_eq!(ask_for(proxy, Duration::from_secs(2)).await, 0);
    assert_eq!(sent().await, before);
    sleeps.store(false, Ordering::SeqCst);
    eventually("they get requests again", async || {
        ask_for(proxy, Duration::from_millis(500)).await;
        (sent().await > before).then_some(())
    })
    .await;
}
