//! Tests the model server with public clients: the OpenAI Python SDK and `prometheus_client`.
//!
//! Each test starts a server in this process and runs one check of `checks.py`. It uses the Python
//! of the variable `TRIMTAB_PYTHON`, which `cargo xtask test` sets. Without it the tests fail.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use trimtab_modelserver::{MetricsPage, Profile, Server, Spec};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

fn spec() -> Spec {
    Spec {
        model: "m".to_owned(),
        adapters: vec!["sql".to_owned()],
        speed: 10.0,
        max_model_len: 4_096,
        ..Spec::new("clients", Profile::named("h100").unwrap())
    }
}

/// Runs one check against a server with this specification.
async fn check(spec: Spec, name: &str, more: &[PathBuf]) {
    let python = std::env::var_os("TRIMTAB_PYTHON")
        .expect("TRIMTAB_PYTHON is not set: run `cargo xtask test`");
    let server = Server::start(spec).await.unwrap();
    let mut command = Command::new(&python);
    command
        .arg(Path::new(FOLDER).join("checks.py"))
        .arg(name)
        .arg(format!("http://{}", server.address()))
        .args(more)
        // An HTTP proxy of the machine must not come between two ends on loopback.
        .env("NO_PROXY", "*")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap_or_else(|error| {
            panic!("{python:?} does not start: {error}; run `cargo xtask test`")
        });
    assert!(
        output.status.success(),
        "{name}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_reads_the_same_answer_streamed_and_whole() {
    check(spec(), "whole_and_streamed_answers_agree", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ignore_eos_some_answers_stop_before_max_tokens() {
    check(spec(), "some_answers_stop_by_themselves", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_lists_models_and_uses_adapters() {
    check(spec(), "models_and_adapters", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_raises_its_own_error_types() {
    check(spec(), "errors_have_the_clients_types", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_hits_the_cache_turn_by_turn() {
    check(spec(), "a_conversation_hits_the_cache_turn_by_turn", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_concurrent_streams_add_up_on_the_metrics_page() {
    check(spec(), "concurrent_streams_add_up_on_the_page", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_the_sdk_closes_is_aborted() {
    check(
        Spec {
            speed: 1.0,
            ..spec()
        },
        "a_closed_stream_is_aborted",
        &[],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_page_has_vllms_families_types_and_labels() {
    let mut pages = vec![
        Path::new(FOLDER).join("vllm_families.txt"),
        Path::new(FOLDER).join("vllm_v1_excerpt.prom"),
    ];
    // Captured pages may lie beside the project. The excerpt makes the same comparison everywhere.
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/fixtures/metrics");
    let captured = std::fs::read_dir(beside)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let is_vllm = |path: &PathBuf| {
        path.extension().is_some_and(|e| e == "prom")
            && path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("vllm-"))
    };
    pages.extend(captured.filter(is_vllm));
    check(spec(), "the_page_has_vllms_families", &pages).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_select_samples_behind_the_slash_only() {
    check(spec(), "names_select_samples", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_multi_process_page_cannot_be_selected_from() {
    let metrics = MetricsPage {
        multi_process: true,
        full: false,
    };
    check(
        Spec { metrics, ..spec() },
        "a_multi_process_page_cannot_be_selected_from",
        &[],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_full_page_parses_with_the_python_client() {
    let metrics = MetricsPage {
        multi_process: false,
        full: true,
    };
    check(Spec { metrics, ..spec() }, "the_full_page_parses", &[]).await;
}
