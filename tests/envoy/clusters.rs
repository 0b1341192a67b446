//! Tests a pool that has the requests to one Service of a mesh, in a proxy that leads to more, on
//! the oldest and the newest Envoy: both name a request's cluster at its headers.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{DECISION, DESTINATION, chat_body, post};
use crate::support::config::Form;
use crate::support::{Backend, RELEASES, Stage, StageOptions, mesh, no_faults};

/// Some ticks of the filter.
const TICKS: Duration = Duration::from_millis(400);
const LLAMA: &str = "outbound|8000||llama.models.svc.cluster.local";
const SUBSET: &str = "outbound|8000|v1|llama.models.svc.cluster.local";
const OTHER: &str = "outbound|8000||other.models.svc.cluster.local";

/// Returns clusters of two Services, and the routes there.
fn services(servers: &[&Backend], other: &Backend) -> Value {
    json!({
        "clusters": [
            mesh::cluster(LLAMA, servers),
            mesh::cluster(SUBSET, servers),
            mesh::cluster(OTHER, &[other]),
        ],
        "routes": [
            mesh::route(Some("subset"), SUBSET),
            mesh::route(Some("other"), OTHER),
            mesh::route(None, LLAMA),
        ],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_gets_the_requests_to_its_own_service_and_those_to_others_pass() {
    for (release, form) in RELEASES
        .into_iter()
        .flat_map(|release| [(release, Form::Single), (release, Form::Pair)])
    {
        let (a, b, other) = (
            Backend::start().await,
            Backend::start().await,
            Backend::start().await,
        );
        let options = StageOptions {
            plugin: Some(r#""services": ["models/llama:8000"]"#.to_owned()),
            overlay: services(&[&a, &b], &other),
            release: Some(release),
            form,
            ..StageOptions::default()
        };
        let (stage, _aggregator) = Stage::placing_by(options, &[(&a, 0), (&b, 600_000)]).await;
        let what = format!("{form:?} on {release:?}");
        // Counts of the requests until now come with a tick.
        tokio::time::sleep(TICKS).await;
        let placed_before = decided(&stage).await;
        for n in 0..24 {
            let to = if n % 3 == 0 { "subset" } else { "other" };
            let headers = [("content-type", "application/json"), ("x-to", to)];
            let answer = post(
                stage.address,
                "/v1/chat/completions",
                &headers,
                chat_body("q"),
            )
            .await;
            let answer = answer.unwrap().ok();
            assert_eq!(
                answer.endpoint() == a.name(),
                to == "subset",
                "{what}: {to}"
            );
            if to == "other" {
                assert_eq!(answer.header(DECISION), "", "{what}");
                let seen = other.seen().pop().unwrap();
                assert!(!seen.headers.contains_key(DESTINATION), "{what}");
            }
        }
        assert_eq!(other.count(), 16, "{what}");
        tokio::time::sleep(TICKS).await;
        assert_eq!(decided(&stage).await - placed_before, 8, "{what}");
        let unmatched = "trimtab_unmatched_total.pool.default.kind.cluster";
        assert_eq!(stage.metric(unmatched).await, 16, "{what}");
        no_faults(&stage).await;
    }
}

/// Returns the number of all decisions since Envoy's start.
async fn decided(stage: &Stage) -> u64 {
    let all = stage.metrics("trimtab_decisions_total").await;
    all.values().sum()
}
