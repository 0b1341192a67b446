//! Pools that come and go with InferencePools.

use std::time::Duration;

use kube::api::DeleteParams;
use trimtab_loadtable::{Report, State};

use crate::cluster::{Cluster, eventually};
use crate::inference_pool::rows_of;
use crate::objects::{
    create_inference_pool, create_pod, inference_pools, install_inference_pools, ip, set_ready,
    two_servers,
};
use crate::support::{Fake, Running, beyond, report, request};

const POOL: &str = "default.vllm";

async fn listed(app: &Running) -> Vec<String> {
    let (_, text) = app.get("/v1/pools").await;
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    let names = list["pools"].as_array().unwrap().iter();
    names
        .map(|pool| pool["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_pool_comes_with_its_inference_pool_and_goes_with_it_beside_those_that_stay() {
    let cluster = Cluster::start().await;
    let client = &cluster.client;
    let [a, _b]: [Fake; 2] = two_servers().await;
    let kubeconfig = cluster.kubeconfig("root", cluster.address().port());
    let app = Running::start_with(&format!(
        "pools: [{{name: own, discovery: {{endpoints: [{{address: '{}'}}]}}}}]\n\
         pools_from: {{kubernetes: {{kubeconfig: '{}'}}, scrape: {{interval: 20ms}}}}\n",
        a.address,
        kubeconfig.display()
    ))
    .await;
    eventually("that no pools are known is told", async || {
        let (status, why) = app.get("/readyz").await;
        (status == 503 && why.contains("no InferencePools listed yet: ")).then_some(())
    })
    .await;
    install_inference_pools(client).await;
    eventually("all are known", async || {
        (app.get("/readyz").await.0 == 200).then_some(())
    })
    .await;
    assert_eq!(listed(&app).await, ["own"]);

    create_pod(client, "a", ip(2)).await;
    set_ready(client, "a", true).await;
    create_inference_pool(client, "vllm", a.address.port()).await;
    rows_of(&app, POOL, &[(a.address, State::Ready)]).await;
    assert_eq!(listed(&app).await, [POOL, "own"]);
    let first = app.table(POOL).await.unwrap().version;

    // A proxy waits for the pool's next table.
    let waiting = Report {
        pool: POOL.to_owned(),
        have: Some(beyond(first)),
        wait_ms: 60_000,
        ..report(1)
    };
    let (address, body) = (app.address, waiting.encode());
    let sync = tokio::spawn(async move {
        request(address, "POST", "/v1/pools/default.vllm/sync", "", &body)
            .await
            .0
    });
    let line = format!("waiting_syncs{{pool=\"{POOL}\"}}");
    eventually("it waits", async || {
        (app.metric(&line).await > 0.0).then_some(())
    })
    .await;
    let pools = inference_pools(client);
    pools
        .delete("vllm", &DeleteParams::default())
        .await
        .unwrap();
    let answered = tokio::time::timeout(Duration::from_secs(10), sync).await;
    assert_eq!(answered.expect("at once").unwrap(), 204);
    eventually("it is gone", async || {
        (listed(&app).await == ["own"]).then_some(())
    })
    .await;
    assert_eq!(app.sync(&waiting).await.0, 404);
    let asked = a.asked().len();

    create_inference_pool(client, "vllm", a.address.port()).await;
    rows_of(&app, POOL, &[(a.address, State::Ready)]).await;
    let second = app.table(POOL).await.unwrap().version;
    assert_ne!(first.epoch, second.epoch, "its tables are others");
    assert!(a.asked().len() > asked);
}
