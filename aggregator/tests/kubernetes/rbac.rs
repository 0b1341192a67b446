//! What the aggregator may read, and what it says where it may not.

use trimtab_loadtable::State;

use crate::cluster::{Cluster, eventually};
use crate::inference_pool::{aggregator, rows};
use crate::objects::{NAMESPACE, allow, create_pod, ip, set_ready, two_servers};

#[tokio::test]
async fn a_rule_that_is_missing_is_named_and_suffices_once_it_is_there() {
    let cluster = Cluster::start().await;
    let client = &cluster.client;
    let [a, _b] = two_servers().await;
    create_pod(client, "a", ip(2)).await;
    set_ready(client, "a", true).await;
    let source = format!(
        "pods: {{namespace: default, labels: {{app: vllm}}, ports: [{}]}}",
        a.address.port()
    );
    let app = aggregator(&cluster, "reader", cluster.address().port(), &source).await;
    let rule = "a Role there has to allow: apiGroups [\"\"], resources [\"pods\"], verbs [\"list\", \"watch\"]";
    eventually("the rule is named", async || {
        let (status, why) = app.get("/readyz").await;
        (status == 503 && why.contains(rule)).then_some(())
    })
    .await;
    // Exactly the rule that the text asks for.
    allow(client, Some(NAMESPACE), "", "pods").await;
    rows(&app, &[(a.address, State::Ready)]).await;
}
