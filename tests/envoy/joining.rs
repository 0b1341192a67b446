//! Tests servers that join with a page without content, or with false content. They must get
//! requests all the same.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};

use crate::support::eventually;
use crate::support::fleet::Fleet;
use crate::support::load::ask_for;
use crate::support::server::Server;

/// Returns the status and the page of a server that has answered this many requests.
pub(crate) type Page = fn(u32) -> (StatusCode, String);

/// Returns a page like TGI's: without samples before the first request.
pub(crate) fn from_the_first_request(answered: u32) -> (StatusCode, String) {
    let page = match answered {
        0 => String::new(),
        _ => format!(
            "# TYPE tgi_queue_size gauge\ntgi_queue_size 0\n# TYPE tgi_batch_current_size gauge\n\
             tgi_batch_current_size 0\n# TYPE tgi_request_success counter\ntgi_request_success {answered}\n"
        ),
    };
    (StatusCode::OK, page)
}

pub(crate) fn of_an_unknown_engine(answered: u32) -> (StatusCode, String) {
    let page = format!("# TYPE my_requests_total counter\nmy_requests_total {answered}\n");
    (StatusCode::OK, page)
}

pub(crate) fn missing(_: u32) -> (StatusCode, String) {
    (StatusCode::NOT_FOUND, "<html>Not Found</html>".into())
}

fn locked(_: u32) -> (StatusCode, String) {
    (StatusCode::UNAUTHORIZED, String::new())
}

/// Returns a page like vLLM's after all clients have cancelled at once, before the next step.
fn left_behind(answered: u32) -> (StatusCode, String) {
    let (running, waiting, used) = match answered {
        0 => (64, 300, 0.97),
        _ => (0, 0, 0.1),
    };
    let page = format!(
        "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{{model_name=\"m\"}} {running}\n\
         # TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting{{model_name=\"m\"}} {waiting}\n\
         # TYPE vllm:kv_cache_usage_perc gauge\nvllm:kv_cache_usage_perc{{model_name=\"m\"}} {used}\n\
         # TYPE vllm:generation_tokens_total counter\nvllm:generation_tokens_total{{model_name=\"m\"}} {}\n",
        1_000 + answered
    );
    (StatusCode::OK, page)
}

/// Starts a server with that page. Its answers have that status.
async fn server(page: Page, status: StatusCode) -> Server {
    let answered = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&answered);
    let page = get(async move || page(seen.load(Ordering::SeqCst)));
    let answer = post(async move || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        answered.fetch_add(1, Ordering::SeqCst);
        (
            status,
            r#"{"choices":[{"message":{"content":"here I am"}}]}"#,
        )
            .into_response()
    });
    let router = Router::new().route("/metrics", page).fallback(answer);
    Server::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), router).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_its_page_says_a_server_that_answers_gets_its_share() {
    let mut fleet = Fleet::start(&[1.0, 1.0, 1.0, 1.0, 1.0]).await;
    let pages: [Page; 5] = [
        from_the_first_request,
        of_an_unknown_engine,
        missing,
        locked,
        left_behind,
    ];
    let mut joining = Vec::new();
    for page in pages {
        joining.push(server(page, StatusCode::OK).await);
    }
    // The servers join one after the other, as in a rollout. They are never the majority.
    for server in &joining {
        fleet.add_address(server.address);
        eventually("it gets requests", async || {
            assert_eq!(
                ask_for(fleet.stage.address, Duration::from_millis(300)).await,
                0
            );
            (fleet.sent_to(server.address).await >= 4).then_some(())
        })
        .await;
        let row = fleet.row(server.address).await;
        assert_eq!(
            (&row["state"], row.get("doubt")),
            (&"ready".into(), None),
            "{row}"
        );
    }
    let mut before = Vec::new();
    for server in &joining {
        before.push(fleet.sent_to(server.address).await);
    }
    assert_eq!(
        ask_for(fleet.stage.address, Duration::from_secs(5)).await,
        0
    );
    for (server, before) in joining.iter().zip(before) {
        // Ten requests each would be an equal share of the hundred.
        let got = fleet.sent_to(server.address).await - before;
        assert!((3..=40).contains(&got), "{got} of 100");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_only_fails_is_tried_out_and_no_request_comes_to_harm() {
    let mut fleet = Fleet::start(&[1.0, 1.0]).await;
    let broken = server(missing, StatusCode::SERVICE_UNAVAILABLE).await;
    fleet.add_address(broken.address);
    eventually("it is tried out", async || {
        assert_eq!(
            ask_for(fleet.stage.address, Duration::from_millis(300)).await,
            0
        );
        (fleet.sent_to(broken.address).await > 0).then_some(())
    })
    .await;
    assert_eq!(
        ask_for(fleet.stage.address, Duration::from_secs(10)).await,
        0
    );
    // The probes come after 1, 2, 4 and 8 s.
    let tries = fleet.sent_to(broken.address).await;
    assert!((2..=5).contains(&tries), "{tries}");
    let row = fleet.row(broken.address).await;
    let found = (&row["state"], &row["doubt"]);
    assert_eq!(found, (&"suspect".into(), &"unreadable".into()), "{row}");
    let log = fleet.aggregator_log();
    assert!(
        log.contains("doubt=\"unreadable\"") && log.contains("single requests try it out"),
        "{log}"
    );
}
