//! What the aggregator may read, and what it says where it may not.

use kube::Api;
use kube::api::{DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::json;
use trimtab_loadtable::State;

use crate::cluster::{Cluster, eventually};
use crate::inference_pool::{aggregator, rows};
use crate::objects::{NAMESPACE, create_pod, ip, set_ready, two_servers};

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
    // Creates exactly the rule that the text asks for.
    let create = async |kind: &str, object: serde_json::Value| {
        let kind = GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", kind);
        let resource = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &resource);
        let object = serde_json::from_value(object).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    };
    let metadata = json!({"name": "reader"});
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]);
    create("Role", json!({"metadata": metadata, "rules": rules})).await;
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"});
    let user = json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "reader"}]);
    create(
        "RoleBinding",
        json!({"metadata": metadata, "roleRef": role, "subjects": user}),
    )
    .await;
    rows(&app, &[(a.address, State::Ready)]).await;
}
