//! Tests that one proxy soon knows what another one does. Nothing is scripted: two Envoys,
//! aggregator, model servers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::client::{DECISION, ask};
use crate::support::fleet::Fleet;
use crate::support::{Stage, StageOptions, chat, eventually, post};

/// Returns the server in the header that explains a decision.
fn named(decision: &str) -> String {
    let (_, rest) = decision.split_once("endpoint=").unwrap();
    rest.split(';').next().unwrap().to_owned()
}

/// Sends a run of short questions and returns where each went. They share nothing that ties them to
/// a server.
async fn run(stage: &Stage) -> Vec<String> {
    let mut servers = Vec::new();
    for n in 0..12 {
        let question = format!("question {n}");
        let answer = ask(stage.address, &question).await.unwrap().ok();
        servers.push(named(answer.header(DECISION)));
    }
    servers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_prompt_sent_through_one_proxy_is_in_the_table_of_the_other_within_a_moment() {
    // No poll ends without a table. No table comes before its time unless a report is urgent.
    let pool = "  publish_interval: 10s\n  suspect_after: 600s\n  scrape: {interval: 3s, idle_interval: 3s}\n";
    let proxy = || StageOptions {
        plugin: Some("\"table_max_age\": \"60s\"".to_owned()),
        ..StageOptions::default()
    };
    let fleet = Fleet::start_with(&[1.0, 1.0], pool, proxy()).await;
    let other = fleet.another_proxy(proxy()).await;
    let tables = async || {
        let name = "trimtab_syncs_total.pool.default.answer.table";
        other.metric(name).await
    };
    // A table has just come. Without an urgent report the next one, and with it the next poll, is
    // ten seconds away.
    let sequence = async || fleet.table().await["sequence"].as_u64();
    let last = sequence().await;
    eventually("a table comes", async || {
        (sequence().await > last).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = tables().await;

    // Seconds of work. The table shows it until the next table is made.
    let (address, prompt) = (fleet.stage.address, "a long story ".repeat(10_000));
    let started = Instant::now();
    let request = tokio::spawn(async move { chat(address, &prompt).await.map(drop) });
    let pending = async |server: SocketAddr| fleet.row(server).await["pending_tokens"].as_u64();
    let busy = eventually("the aggregator's table has it", async || {
        for server in &fleet.servers {
            if pending(server.address).await > Some(10_000) {
                return Some(server.address.to_string());
            }
        }
        None
    })
    .await;
    eventually("the other proxy has a new table", async || {
        (tables().await > before).then_some(())
    })
    .await;
    eventually("and goes by it", async || {
        let after = run(&other).await;
        after.iter().all(|server| *server != busy).then_some(())
    })
    .await;
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "{:?}",
        started.elapsed()
    );
    request.abort();
}

/// Sends a turn of a conversation with a past. Returns where it went and why.
async fn turn(stage: &Stage) -> (String, String) {
    let past = "as I said before ".repeat(80);
    let messages = serde_json::json!([
        {"role": "user", "content": "tell me a long story"}, {"role": "assistant", "content": past},
        {"role": "user", "content": "and then?"}]);
    let body = serde_json::json!({"messages": messages, "model": "m", "max_tokens": 8});
    let json = [("content-type", "application/json")];
    let path = "/v1/chat/completions";
    let answer = post(stage.address, path, &json, body.to_string()).await;
    let answer = answer.unwrap().ok();
    let decision = answer.header(DECISION).to_owned();
    (named(&decision), decision)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_one_proxy_had_to_send_elsewhere_is_found_there_by_the_other() {
    let fleet = Fleet::start(&[1.0, 1.0]).await;
    let other = fleet.another_proxy(StageOptions::default()).await;
    let (home, why) = turn(&fleet.stage).await;
    assert_eq!(turn(&other).await.0, home, "both look at one place: {why}");

    // Work that only the server itself knows about.
    let busy: SocketAddr = home.parse().unwrap();
    let mut backlog = tokio::task::JoinSet::new();
    for n in 0..300 {
        let prompt = format!("{n} words ").repeat(750);
        backlog.spawn(async move { chat(busy, &prompt).await.map(drop) });
    }
    let wait_ms = async || fleet.row(busy).await["wait_ms"].as_u64();
    eventually("the table says so", async || {
        (wait_ms().await > Some(500)).then_some(())
    })
    .await;
    let (elsewhere, why) = turn(&fleet.stage).await;
    assert_ne!(elsewhere, home, "{why}");
    backlog.abort_all();
    eventually("the server is idle again", async || {
        (wait_ms().await < Some(50)).then_some(())
    })
    .await;
    // The key's place is as good as before. Only from the table can the other proxy know that the
    // conversation moved.
    eventually("the other proxy has heard of it", async || {
        let (found, why) = turn(&other).await;
        (found == elsewhere && why.contains("reason=conversation")).then_some(())
    })
    .await;
}
