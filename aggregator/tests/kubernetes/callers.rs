//! Proxies that show tokens of service accounts, under a real API server.

use serde_json::Value;
use trimtab_aggregator::Config;

use crate::cluster::{Cluster, eventually};
use crate::files::project;
use crate::kubectl::Kubectl;
use crate::support::{Running, report, request};

const RULE: &str =
    "apiGroups [\"authentication.k8s.io\"], resources [\"tokenreviews\"], verbs [\"create\"]";

#[tokio::test]
async fn a_token_of_an_allowed_account_lets_in_also_while_the_api_server_is_away() {
    let mut cluster = Cluster::start().await;
    let kubectl = Kubectl::of(&cluster);
    kubectl.apply(&project("deploy/kubernetes/overlays/tls"));
    for account in ["trimtab-gateway", "other"] {
        kubectl.run(&["create", "serviceaccount", account]);
    }
    let token = |account: &str, audience: &str| {
        let args = ["create", "token", account, "--audience", audience];
        kubectl.run(&args).trim().to_owned()
    };
    let own = kubectl.kubeconfig_of("default", "trimtab-aggregator");
    let app = Running::start_with(&format!(
        "allow: {{service_accounts: {{accounts: [default/trimtab-gateway], kubeconfig: '{}'}}}}\npools: [{{name: chat, discovery: {{endpoints: [{{address: '127.0.0.1:1'}}]}}}}]",
        own.display()
    ))
    .await;
    let sync = async |token: &str| {
        let header = format!("authorization: Bearer {token}\r\n");
        let path = "/v1/pools/chat/sync";
        let (status, body) = request(app.address, "POST", path, &header, &report(1).encode()).await;
        (status, String::from_utf8_lossy(&body).into_owned())
    };
    let (gateway, another) = (
        token("trimtab-gateway", "trimtab"),
        token("trimtab-gateway", "trimtab"),
    );
    eventually("it is let in", async || {
        (sync(&gateway).await.0 == 200).then_some(())
    })
    .await;
    let (status, why) = sync(&token("other", "trimtab")).await;
    assert!(
        status == 403 && why.contains("service_accounts.accounts"),
        "{status} {why}"
    );
    let (status, why) = sync(&token("trimtab-gateway", "elsewhere")).await;
    assert!(
        status == 401 && why.contains("audience `trimtab`"),
        "{status} {why}"
    );
    assert_eq!(sync("a.b.c").await.0, 401);

    cluster.kill();
    assert_eq!(sync(&gateway).await.0, 200);
    let (status, why) = sync(&another).await;
    assert!(
        status == 503 && why.contains("does not say whose token"),
        "{status} {why}"
    );
    cluster.start_again().await;
    eventually("the other too", async || {
        (sync(&another).await.0 == 200).then_some(())
    })
    .await;

    // Without the rule it is named.
    kubectl.run(&[
        "delete",
        "clusterrolebinding",
        "trimtab-aggregator-token-reviews",
    ]);
    eventually("the rule is named", async || {
        let (status, why) = sync(&token("trimtab-gateway", "trimtab")).await;
        (status == 503 && why.contains(RULE)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_server_takes_the_overlay_with_tls_and_its_settings_are_fine() {
    let cluster = Cluster::start().await;
    let kubectl = Kubectl::of(&cluster);
    let said = kubectl.apply(&project("deploy/kubernetes/overlays/tls"));
    assert!(
        said.contains("clusterrole.rbac.authorization.k8s.io/trimtab-aggregator-token-reviews")
    );
    let pod = kubectl.json(&["get", "deployment", "trimtab-aggregator"]);
    let pod = &pod["spec"]["template"]["spec"];
    let volume = |name: &str| {
        let volumes = pod["volumes"].as_array().unwrap();
        volumes
            .iter()
            .find(|one| one["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(
        volume("tls")["secret"]["secretName"],
        "trimtab-aggregator-tls"
    );
    assert_eq!(pod["securityContext"]["runAsNonRoot"], Value::Bool(true));
    let config = volume("config");
    let map = kubectl.json(&[
        "get",
        "configmap",
        config["configMap"]["name"].as_str().unwrap(),
    ]);
    let text = map["data"]["aggregator.yaml"].as_str().unwrap();
    let config = Config::from_yaml(text).unwrap_or_else(|problems| panic!("{problems}"));
    let tls = config.listen.main.tls.unwrap();
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    let mount = mounts.iter().find(|one| one["name"] == "tls").unwrap();
    assert!(
        tls.cert_file
            .starts_with(mount["mountPath"].as_str().unwrap())
    );
    let ports = kubectl.json(&["get", "service", "trimtab-aggregator"]);
    assert_eq!(ports["spec"]["ports"][0]["appProtocol"], "https");
}
