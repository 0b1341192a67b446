//! Tests servers whose page takes longer than the aggregator's timeout of 1 s. They must get
//! requests all the same.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use futures_util::stream;

use crate::support::eventually;
use crate::support::fleet::Fleet;
use crate::support::load::ask_for;
use crate::support::server::Server;

/// How a page comes.
#[derive(Debug, Clone)]
enum Page {
    /// After this many milliseconds.
    After(Arc<AtomicU64>),
    /// Never completely: comments come now and then, without end.
    Endless,
}

fn after(ms: u64) -> Page {
    Page::After(Arc::new(AtomicU64::new(ms)))
}

fn honest(answered: u32) -> String {
    let tokens = 1_000 + answered;
    format!(
        "vllm:num_requests_running 0\nvllm:num_requests_waiting 0\nvllm:kv_cache_usage_perc 0.1\nvllm:generation_tokens_total {tokens}\n"
    )
}

async fn show(page: Page, answered: u32) -> Response {
    match page {
        Page::After(ms) => {
            tokio::time::sleep(Duration::from_millis(ms.load(Ordering::SeqCst))).await;
            honest(answered).into_response()
        }
        Page::Endless => {
            let comments = stream::unfold((), async |()| {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let comment = Bytes::from_static(b"# a moment\n");
                Some((Ok::<_, std::convert::Infallible>(comment), ()))
            });
            Body::from_stream(comments).into_response()
        }
    }
}

async fn server(page: Page) -> Server {
    let answered = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&answered);
    let page = get(async move || show(page, seen.load(Ordering::SeqCst)).await);
    let answer = post(async move || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        answered.fetch_add(1, Ordering::SeqCst);
        r#"{"choices":[{"message":{"content":"here I am"}}]}"#
    });
    let router = Router::new().route("/metrics", page).fallback(answer);
    Server::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), router).await
}

/// Sends about a hundred requests, none of which may fail. Returns how many each server got.
async fn shares(fleet: &Fleet, servers: &[Server]) -> Vec<u64> {
    let mut shares = Vec::new();
    for server in servers {
        shares.push(fleet.sent_to(server.address).await);
    }
    let failed = ask_for(fleet.stage.address, Duration::from_secs(5)).await;
    assert_eq!(failed, 0);
    for (server, share) in servers.iter().zip(&mut shares) {
        *share = fleet.sent_to(server.address).await - *share;
    }
    shares
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_page_comes_late_or_without_end_gets_its_share() {
    let mut fleet = Fleet::start(&[1.0, 1.0, 1.0, 1.0]).await;
    let slow = [server(after(1_300)).await, server(Page::Endless).await];
    for server in &slow {
        fleet.add_address(server.address);
        eventually("it gets requests", async || {
            let failed = ask_for(fleet.stage.address, Duration::from_millis(300)).await;
            assert_eq!(failed, 0);
            (fleet.sent_to(server.address).await >= 4).then_some(())
        })
        .await;
    }
    let shares = shares(&fleet, &slow).await;
    assert!(shares.iter().all(|share| *share >= 3), "{shares:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_page_becomes_slow_keeps_its_share() {
    let ms = Arc::new(AtomicU64::new(0));
    let slow = [server(Page::After(Arc::clone(&ms))).await];
    let mut fleet = Fleet::start(&[1.0, 1.0]).await;
    fleet.add_address(slow[0].address);
    eventually("it gets requests", async || {
        let failed = ask_for(fleet.stage.address, Duration::from_millis(300)).await;
        assert_eq!(failed, 0);
        (fleet.sent_to(slow[0].address).await >= 4).then_some(())
    })
    .await;
    ms.store(2_500, Ordering::SeqCst);
    for round in 1..=3 {
        let shares = shares(&fleet, &slow).await;
        assert!(shares[0] >= 3, "round {round}: {shares:?}");
    }
}
