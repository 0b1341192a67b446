//! `/v1/responses`: answers that the server remembers.

use http_body_util::BodyExt;
use serde_json::{Value, json};
use trimtab_modelserver::Spec;

use crate::rig::{Rig, spec, words};

const PATH: &str = "/v1/responses";

fn message(role: &str, text: &str) -> Value {
    json!({"role": role, "content": text})
}

/// Returns the data of every event. Asserts that each event names its type, and that no sequence
/// number is missing.
fn events(text: &str) -> Vec<Value> {
    let read = |(number, event): (usize, &str)| {
        let (kind, data) = event.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(kind.strip_prefix("event: ").unwrap(), data["type"]);
        assert_eq!(data["sequence_number"], number);
        data
    };
    text.split_terminator("\n\n")
        .enumerate()
        .map(read)
        .collect()
}

#[tokio::test]
async fn the_same_response_is_whole_or_streamed_in_openais_order_of_events() {
    let rig = Rig::start(spec()).await;
    let body = |stream: bool| json!({"model": "m", "input": "say it all", "max_output_tokens": 5, "stream": stream, "ignore_eos": true});
    let (status, whole) = rig.post(PATH, body(false)).await;
    assert_eq!(
        (status, &whole["status"]),
        (200, &json!("incomplete")),
        "{whole}"
    );
    assert_eq!(whole["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(whole["usage"]["input_tokens"], 6);
    assert_eq!(whole["usage"]["output_tokens"], 5);
    let text = whole["output"][0]["content"][0]["text"].as_str().unwrap();

    let response = rig.send(PATH, body(true).to_string()).await;
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let events = events(std::str::from_utf8(&bytes).unwrap());
    let kinds: Vec<&str> = events.iter().map(|e| e["type"].as_str().unwrap()).collect();
    let delta = "response.output_text.delta";
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            delta,
            delta,
            delta,
            delta,
            delta,
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.incomplete",
        ]
    );
    let deltas: String = events.iter().filter_map(|e| e["delta"].as_str()).collect();
    assert_eq!(deltas, text);
    let last = &events[12]["response"];
    assert_eq!(last["output"][0]["content"], whole["output"][0]["content"]);
    let (_, kept) = rig
        .ask("GET", &format!("{PATH}/{}", last["id"].as_str().unwrap()))
        .await;
    assert_eq!(&kept, last);
}

#[tokio::test]
async fn a_stream_says_that_it_begins_before_prefill() {
    // About 0.25 s of prefill.
    let rig = Rig::start(Spec {
        speed: 1.0,
        ..spec()
    })
    .await;
    let body = json!({"input": words(5_000, "w"), "max_output_tokens": 2, "stream": true});
    let mut body = rig.send(PATH, body.to_string()).await.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let running = rig.metric("vllm:generation_tokens_total").await;
    assert_eq!(running, 0.0, "no token was there");
    let first = std::str::from_utf8(&first).unwrap();
    let kinds: Vec<Value> = events(first).iter().map(|e| e["type"].clone()).collect();
    assert_eq!(kinds, ["response.created", "response.in_progress"]);
}

#[tokio::test]
async fn the_next_turn_names_the_one_before() {
    let rig = Rig::start(spec()).await;
    let ask = |input: Value, previous: Option<&Value>| json!({"model": "m", "input": input, "previous_response_id": previous, "max_output_tokens": 60, "ignore_eos": true});
    let (_, first) = rig.post(PATH, ask(json!(words(100, "w")), None)).await;
    let next = json!([message("user", "and then what happened after that")]);
    let (status, second) = rig.post(PATH, ask(next, Some(&first["id"]))).await;
    assert_eq!(
        (status, &second["previous_response_id"]),
        (200, &first["id"])
    );
    // The same as in a chat that sends all turns again.
    assert_eq!(
        second["usage"]["input_tokens_details"]["cached_tokens"],
        160
    );
    assert_eq!(second["usage"]["input_tokens"], 103 + 60 + 1 + 2 + 6 + 1);

    // Another server does not know the response.
    let other = Rig::start(spec()).await;
    let (status, error) = other.post(PATH, ask(json!("x"), Some(&first["id"]))).await;
    assert_eq!(
        (status, &error["error"]["param"]),
        (404, &json!("previous_response_id"))
    );
    let says = error["error"]["message"].as_str().unwrap();
    assert!(says.contains(first["id"].as_str().unwrap()), "{says}");
}

#[tokio::test]
async fn a_response_can_be_had_listed_and_deleted() {
    let rig = Rig::start(spec()).await;
    let input = json!([
        message("user", "first"),
        {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "seen"},
        {"type": "reasoning", "summary": []},
    ]);
    let (_, made) = rig
        .post(
            PATH,
            json!({"input": input, "max_output_tokens": 3, "instructions": "be brief"}),
        )
        .await;
    let path = format!("{PATH}/{}", made["id"].as_str().unwrap());
    assert_eq!(rig.ask("GET", &path).await, (200, made.clone()));
    let (_, list) = rig.ask("GET", &format!("{path}/input_items?limit=3")).await;
    let kinds: Vec<&Value> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| &i["type"])
        .collect();
    assert_eq!(
        kinds,
        ["reasoning", "function_call_output", "function_call"]
    );
    assert_eq!(
        (&list["has_more"], &list["last_id"]),
        (&json!(true), &list["data"][2]["id"])
    );
    let after = list["last_id"].as_str().unwrap();
    let (_, rest) = rig
        .ask("GET", &format!("{path}/input_items?after={after}"))
        .await;
    assert_eq!(
        (&rest["data"][0]["content"], &rest["has_more"]),
        (&json!("first"), &json!(false))
    );

    let (status, gone) = rig.ask("DELETE", &path).await;
    assert_eq!((status, &gone["deleted"]), (200, &json!(true)));
    for (method, path) in [
        ("GET", path.clone()),
        ("DELETE", path.clone()),
        ("GET", format!("{path}/input_items")),
        ("POST", format!("{path}/cancel")),
    ] {
        let (status, error) = rig.ask(method, &path).await;
        assert_eq!(
            (status, &error["error"]["code"]),
            (404, &json!(404)),
            "{method} {path}: {error}"
        );
    }
    let (_, unkept) = rig
        .post(
            PATH,
            json!({"input": "x", "max_output_tokens": 3, "store": false}),
        )
        .await;
    let (status, _) = rig
        .ask("GET", &format!("{PATH}/{}", unkept["id"].as_str().unwrap()))
        .await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn work_in_the_background_is_asked_for_and_cancelled() {
    let rig = Rig::start(spec()).await;
    let ask = |tokens: u32| json!({"input": "x", "max_output_tokens": tokens, "ignore_eos": true, "background": true});
    let (_, queued) = rig.post(PATH, ask(50)).await;
    assert_eq!(
        (&queued["status"], &queued["output"]),
        (&json!("queued"), &json!([]))
    );
    let path = format!("{PATH}/{}", queued["id"].as_str().unwrap());
    rig.metric_becomes("vllm:generation_tokens_total", 50.0)
        .await;
    let mut done = rig.ask("GET", &path).await.1;
    while done["status"] == "queued" {
        done = rig.ask("GET", &path).await.1;
    }
    assert_eq!(
        (&done["status"], &done["usage"]["output_tokens"]),
        (&json!("incomplete"), &json!(50))
    );
    assert_eq!(
        rig.ask("POST", &format!("{path}/cancel")).await,
        (200, done)
    );

    let (_, endless) = rig.post(PATH, ask(30_000)).await;
    let path = format!("{PATH}/{}", endless["id"].as_str().unwrap());
    rig.metric_becomes("vllm:num_requests_running{", 1.0).await;
    let (_, cancelled) = rig.ask("POST", &format!("{path}/cancel")).await;
    assert_eq!(cancelled["status"], "cancelled");
    rig.metric_becomes("vllm:num_requests_running{", 0.0).await;
    assert_eq!(rig.ask("GET", &path).await, (200, cancelled));

    let (_, plain) = rig
        .post(PATH, json!({"input": "x", "max_output_tokens": 1}))
        .await;
    let (status, error) = rig
        .ask(
            "POST",
            &format!("{PATH}/{}/cancel", plain["id"].as_str().unwrap()),
        )
        .await;
    assert_eq!(status, 400, "{error}");
}

#[tokio::test]
async fn what_is_wrong_is_said_in_the_names_of_this_api() {
    let rig = Rig::start(Spec {
        max_model_len: 100,
        ..spec()
    })
    .await;
    for (body, status, param, says) in [
        (json!({}), 400, json!("input"), "at least one item"),
        (
            json!({"input": []}),
            400,
            json!("input"),
            "at least one item",
        ),
        (json!({"input": 3}), 400, json!(null), "not a valid request"),
        (json!({"input": [[]]}), 400, json!("input"), "not an object"),
        (
            json!({"input": [{"content": "x"}]}),
            400,
            json!("input"),
            "no 'role'",
        ),
        (
            json!({"input": [{"type": "item_reference", "id": "x"}]}),
            400,
            json!("input"),
            "item_reference",
        ),
        (
            json!({"input": [message("user", "x"), {"role": "user", "content": [{"type": "input_image"}]}]}),
            400,
            json!("input"),
            "input_image",
        ),
        (
            json!({"input": "x", "max_output_tokens": 0}),
            400,
            json!("max_output_tokens"),
            "at least 1",
        ),
        (
            json!({"input": "x", "max_output_tokens": 99}),
            400,
            json!("max_output_tokens"),
            "maximum context length",
        ),
        (
            json!({"input": "x", "model": "n"}),
            404,
            json!("model"),
            "does not exist",
        ),
        (
            json!({"input": "x", "background": true, "stream": true}),
            400,
            json!("background"),
            "stream",
        ),
        (
            json!({"input": "x", "background": true, "store": false}),
            400,
            json!("background"),
            "store",
        ),
        (
            json!({"input": "x", "previous_response_id": "resp_none"}),
            404,
            json!("previous_response_id"),
            "resp_none",
        ),
    ] {
        let (got, error) = rig.post(PATH, body.clone()).await;
        assert_eq!(
            (got, &error["error"]["param"]),
            (status, &param),
            "{body}: {error}"
        );
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains(says), "{message}");
    }
}
