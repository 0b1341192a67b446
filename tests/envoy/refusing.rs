//! Tests servers that refuse some requests: a limit of one client costs the others nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{Backend, Stage, client, eventually};

/// A header that tells who asks, with the two clients' values.
type Who = (&'static str, [&'static str; 2]);

/// By their credentials the filter knows two clients apart. By another header it does not.
const BY_KEY: Who = ("authorization", ["Bearer limited", "Bearer other"]);
const BY_NAME: Who = ("x-tenant", ["limited", "other"]);

/// Sends a request of one of the two clients, with a prompt of its own. Returns its status.
async fn ask(stage: &Stage, who: Who, is_limited: bool) -> u16 {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let n = ASKED.fetch_add(1, Ordering::Relaxed);
    let value = who.1[usize::from(!is_limited)];
    let headers = [("content-type", "application/json"), (who.0, value)];
    let path = "/v1/chat/completions";
    let body = client::ask_body(&format!("question {n}"));
    let answer = client::post(stage.address, path, &headers, body).await;
    answer.unwrap().status
}

struct Got {
    /// Requests of the other client, by server.
    other: [usize; 3],
    /// Requests of both clients, by server.
    all: [usize; 3],
    /// Requests of the limited client that were refused.
    refused: usize,
}

/// Lets both clients send `count` requests each. Those of the other one must be answered.
async fn ask_both(stage: &Stage, servers: [&Backend; 3], who: Who, count: usize) -> Got {
    let mut got = Got {
        other: [0; 3],
        all: [0; 3],
        refused: 0,
    };
    let first = servers.map(Backend::count);
    for _ in 0..count {
        got.refused += usize::from(ask(stage, who, true).await != 200);
        let before = servers.map(Backend::count);
        assert_eq!(ask(stage, who, false).await, 200);
        for (at, before) in before.into_iter().enumerate() {
            got.other[at] += servers[at].count() - before;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for (at, first) in first.into_iter().enumerate() {
        got.all[at] = servers[at].count() - first;
    }
    got
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_one_client_at_one_server_takes_no_server_from_the_others() {
    for who in [BY_KEY, BY_NAME] {
        let (a, b, c) = (
            Backend::start().await,
            Backend::start().await,
            Backend::start().await,
        );
        let servers = [&a, &b, &c];
        let (stage, _aggregator) = Stage::with_waits(&servers.map(|server| (server, 0))).await;
        a.refuse(429, (who.0, who.1[0]));
        eventually("the others use the server that refuses one", async || {
            // By chance the limited client may be the first after each rest, and make the next one
            // longer. With requests of the other one alone that ends soon.
            for _ in 0..20 {
                assert_eq!(ask(&stage, who, false).await, 200);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let got = ask_both(&stage, servers, who, 60).await;
            (got.other[0] >= 10).then_some(())
        })
        .await;
        let got = ask_both(&stage, servers, who, 300).await;
        // A third of 600 is 200. A client that keeps away from a server takes 100 from it, and a
        // rest of a second some more. Idle servers cost the same, so that the others may fill it.
        let is_used = got.all.iter().all(|count| *count >= 70);
        assert!(is_used, "{who:?}: {:?}", got.all);
        // Where the limited client keeps away, the others have the server for themselves.
        assert!(got.other[0] >= 50, "{who:?}: {:?}", got.other);
        if who == BY_KEY {
            assert!(got.refused <= 6, "it goes elsewhere: {}", got.refused);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_credit_or_rights_rests_no_server() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    // The first server would get all requests.
    let (stage, _aggregator) = Stage::with_waits(&[(&a, 0), (&b, 20_000)]).await;
    let warm = b.count();
    for status in [400, 401, 402, 403, 404, 422] {
        a.refuse(status, (BY_KEY.0, BY_KEY.1[0]));
        for _ in 0..12 {
            assert_eq!(ask(&stage, BY_KEY, true).await, status);
            assert_eq!(ask(&stage, BY_KEY, false).await, 200);
        }
    }
    assert_eq!(b.count(), warm);
    let ejections = stage.metrics("trimtab_ejections_total").await;
    assert!(ejections.values().all(|count| *count == 0), "{ejections:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_all_clients_for_half_a_minute_is_asked_less_and_less() {
    for who in [BY_KEY, BY_NAME] {
        let (a, b) = (Backend::start().await, Backend::start().await);
        let waits = [(&a, 0), (&b, 20_000)];
        let (stage, _aggregator) = Stage::with_waits_and_workers(&waits, 1).await;
        a.refuse(429, ("content-type", "application/json"));
        let before = a.count();
        for n in 0..1_000 {
            ask(&stage, who, n % 2 == 0).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // One after 0, 1, 3 and 7 s, and both clients once more.
        let asked = a.count() - before;
        assert!(asked <= 8, "{who:?}: {asked} of 1,000");
        a.answer_with(200);
        eventually("it is used again", async || {
            let before = a.count();
            for n in 0..10 {
                ask(&stage, BY_NAME, n % 2 == 0).await;
            }
            (a.count() == before + 10).then_some(())
        })
        .await;
    }
}
