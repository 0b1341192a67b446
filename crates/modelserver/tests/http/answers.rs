//! The content of answers, and their times.

use std::time::Instant;

use http_body_util::BodyExt;
use serde_json::{Value, json};
use trimtab_modelserver::Spec;

use crate::rig::{Rig, events, spec, words};

#[tokio::test]
async fn the_same_request_gets_the_same_answer_streamed_or_whole() {
    let rig = Rig::start(spec()).await;
    let body = |stream: bool| {
        json!({"model": "m", "messages": [{"role": "user", "content": "say it all"}], "max_tokens": 40,
               "stream": stream, "stream_options": {"include_usage": true}})
    };
    let (status, whole) = rig.post("/v1/chat/completions", body(false)).await;
    assert_eq!(status, 200, "{whole}");
    let response = rig
        .send("/v1/chat/completions", body(true).to_string())
        .await;
    assert_eq!(
        response.headers()["content-type"],
        "text/event-stream; charset=utf-8"
    );
    let text = response.into_body().collect().await.unwrap().to_bytes();
    let events = events(std::str::from_utf8(&text).unwrap());
    let delta = |event: &Value| {
        event["choices"][0]["delta"]["content"]
            .as_str()
            .unwrap_or("")
            .to_owned()
    };
    let streamed: String = events.iter().map(delta).collect();
    assert_eq!(whole["choices"][0]["message"]["content"], streamed);
    assert_eq!(streamed.split_whitespace().count(), 40);
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    let (usage, last) = (&events[events.len() - 1], &events[events.len() - 2]);
    assert_eq!(last["choices"][0]["finish_reason"], "length");
    assert_eq!(usage["choices"], json!([]));
    // The role, three short words, the end, and the role of the answer.
    assert_eq!(usage["usage"]["prompt_tokens"], 6);
    assert_eq!(usage["usage"]["completion_tokens"], 40);
    assert_eq!(usage["usage"]["total_tokens"], 46);
    assert_eq!(whole["usage"]["prompt_tokens"], 6);
}

#[tokio::test]
async fn headers_come_at_once_and_the_first_chunk_when_prefill_is_done() {
    // About 0.25 s of prefill.
    let rig = Rig::start(Spec {
        speed: 1.0,
        ..spec()
    })
    .await;
    let body = json!({"model": "m", "prompt": words(5_000, "w"), "max_tokens": 3, "stream": true});
    let begun = Instant::now();
    let response = rig.send("/v1/completions", body.to_string()).await;
    let head_s = begun.elapsed().as_secs_f64();
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let first_s = begun.elapsed().as_secs_f64();
    let prefill_s: f64 = [(0.0, 2_048.0), (2_048.0, 2_048.0), (4_096.0, 904.0)]
        .iter()
        .map(|(at, n)| 6.5e-3 + 42e-6 * n * (1.0 + (at + n / 2.0) / 32_000.0))
        .sum();
    assert!(head_s < prefill_s / 2.0, "headers after {head_s} s");
    assert!(
        first_s >= prefill_s,
        "first chunk after {first_s} s, prefill takes {prefill_s} s"
    );
    assert!(first.starts_with(b"data: {"));
}

#[tokio::test]
async fn the_next_turn_finds_prompt_and_answer_in_the_cache() {
    let rig = Rig::start(spec()).await;
    let mut messages = vec![json!({"role": "user", "content": words(100, "w")})];
    let ask = |messages: &[Value]| json!({"model": "m", "messages": messages, "max_tokens": 60, "ignore_eos": true});
    let (_, first) = rig.post("/v1/chat/completions", ask(&messages)).await;
    assert_eq!(first["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
    messages.push(first["choices"][0]["message"].clone());
    messages.push(json!({"role": "user", "content": "and then what happened after that"}));
    let (_, second) = rig.post("/v1/chat/completions", ask(&messages)).await;
    // 103 prompt tokens and 60 of the answer. The KV of the last one was never computed: 162 / 16 =
    // 10 blocks.
    assert_eq!(
        second["usage"]["prompt_tokens_details"]["cached_tokens"],
        160
    );
    rig.metric_becomes("vllm:prefix_cache_hits_total", 160.0)
        .await;
}

#[tokio::test]
async fn several_prompts_and_n_give_one_choice_each() {
    let rig = Rig::start(spec()).await;
    let body = json!({"model": "m", "prompt": [words(20, "a"), words(20, "b")], "n": 2, "max_tokens": 5, "stream": true});
    let response = rig.send("/v1/completions", body.to_string()).await;
    let text = response.into_body().collect().await.unwrap().to_bytes();
    let mut texts = vec![String::new(); 4];
    for event in events(std::str::from_utf8(&text).unwrap()) {
        let choice = &event["choices"][0];
        texts[choice["index"].as_u64().unwrap() as usize] += choice["text"].as_str().unwrap();
    }
    assert!(
        texts
            .iter()
            .all(|text| text.split_whitespace().count() == 5),
        "{texts:?}"
    );
    assert_eq!(
        texts.iter().collect::<std::collections::HashSet<_>>().len(),
        4,
        "{texts:?}"
    );
    let ids = json!({"prompt": [[1, 2, 3], [4, 5]], "max_tokens": 1});
    let (_, answer) = rig.post("/v1/completions", ids).await;
    assert_eq!(answer["usage"]["prompt_tokens"], 5);
}
