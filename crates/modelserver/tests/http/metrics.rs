//! The metrics page.

use serde_json::json;
use trimtab_modelserver::{MetricsPage, Spec};

use crate::rig::{Rig, spec};

#[tokio::test]
async fn names_select_samples_only_behind_the_slash_and_not_in_multi_process_mode() {
    let query =
        "name%5B%5D=vllm:num_requests_waiting&name[]=vllm:prompt_tokens_total&name[]=nothing";
    let rig = Rig::start(spec()).await;
    let selected = rig.text(&format!("/metrics/?{query}")).await;
    let samples: Vec<&str> = selected
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert_eq!(samples.len(), 2, "{selected}");
    let whole = rig.text("/metrics").await;
    assert_eq!(rig.text(&format!("/metrics?{query}")).await, whole);
    assert_eq!(rig.text("/metrics/").await, whole);
    let metrics = MetricsPage {
        multi_process: true,
        full: false,
    };
    let multi = Rig::start(Spec { metrics, ..spec() }).await;
    assert_eq!(multi.text(&format!("/metrics/?{query}")).await, "");
    assert!(
        multi
            .text("/metrics/")
            .await
            .contains("vllm:num_requests_waiting{")
    );
}

#[tokio::test]
async fn the_full_page_is_as_large_as_the_real_one() {
    let metrics = MetricsPage {
        multi_process: false,
        full: true,
    };
    let rig = Rig::start(Spec { metrics, ..spec() }).await;
    rig.post("/v1/completions", json!({"prompt": "x", "max_tokens": 5}))
        .await;
    let page = rig.text("/metrics").await;
    assert!(
        (40_000..70_000).contains(&page.len()),
        "{} bytes",
        page.len()
    );
    for family in [
        "python_info",
        "process_start_time_seconds",
        "vllm:num_preemptions_created",
        "http_requests_total",
    ] {
        assert!(page.contains(&format!("# TYPE {family} ")), "{family}");
    }
}
