//! LoRA adapters.

use serde_json::{Value, json};
use trimtab_modelserver::Spec;

use crate::rig::{Rig, spec};

#[tokio::test]
async fn adapters_come_and_go_over_http_and_show_on_the_page() {
    let rig = Rig::start(Spec {
        adapters: vec!["first".to_owned()],
        ..spec()
    })
    .await;
    let ids = |models: Value| -> Vec<String> {
        models["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| m["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let models = || async { ids(serde_json::from_str(&rig.text("/v1/models").await).unwrap()) };
    assert_eq!(models().await, ["m", "first"]);
    let load = json!({"lora_name": "second", "lora_path": "/x"}).to_string();
    assert_eq!(
        rig.send("/v1/load_lora_adapter", load.clone())
            .await
            .status(),
        200
    );
    assert_eq!(rig.send("/v1/load_lora_adapter", load).await.status(), 400);
    assert_eq!(models().await, ["m", "first", "second"]);
    let body = json!({"model": "second", "prompt": "x", "max_tokens": 5, "ignore_eos": true});
    assert_eq!(rig.post("/v1/completions", body.clone()).await.0, 200);
    let page = rig.text("/metrics").await;
    assert!(
        page.contains("vllm:lora_requests_info{max_lora=\"8\",running_lora_adapters=\"second\",waiting_lora_adapters=\"\"}"),
        "{page}"
    );
    let unload = json!({"lora_name": "second"});
    assert_eq!(
        rig.send("/v1/unload_lora_adapter", unload.to_string())
            .await
            .status(),
        200
    );
    assert_eq!(rig.post("/v1/unload_lora_adapter", unload).await.0, 404);
    assert_eq!(rig.post("/v1/completions", body).await.0, 404);
}
