//! Tests pools that get only the requests to their own clusters, as in a proxy of a mesh that leads
//! to many Services. Counts what the others cost.

use std::time::Duration;

use trimtab_wasmhost::{LogLevel, Options, ScriptedProxy};

use crate::support::{
    DESTINATION, chat, config_with, first_host, metric, module, ready_with, reported, table,
};

/// The property in which the proxy names the cluster of a request at its headers.
const CLUSTER: &str = "xds.cluster_name";
const OURS: &str = "outbound|8000||llama.models.svc.cluster.local";
const OTHER: &str = "outbound|8000||other.models.svc.cluster.local";

/// Returns a proxy whose pool has the requests to one Service.
fn of_a_service() -> ScriptedProxy {
    let config = config_with(r#""services": ["models/llama:8000"]"#);
    ready_with(&config, &table())
}

#[test]
fn only_requests_to_the_pools_service_are_placed_and_reported() {
    let mut proxy = of_a_service();
    for cluster in [
        OURS,
        "outbound|8000|v1|llama.models.svc.cluster.local",
        "inbound-vip|8000|http|llama.models.svc.cluster.local",
    ] {
        let exchange = (proxy.vm().request().attribute(CLUSTER, cluster)).body(chat(500));
        assert!(first_host(&exchange).is_some(), "{cluster}");
        exchange.finish(proxy.vm());
    }
    for cluster in [OTHER, "outbound|80||llama.models.svc.cluster.local", ""] {
        for path in ["/v1/completions", "/llm/ask"] {
            let request = proxy.vm().request().attribute(CLUSTER, cluster);
            let exchange = request.header(":path", path).body(chat(500));
            assert!(exchange.request_ended, "{cluster}");
            assert_eq!(exchange.upstream_header(DESTINATION), None, "{cluster}");
            let answered = exchange.finish(proxy.vm());
            let told = crate::support::reason(&answered);
            assert_eq!(told, None, "{cluster}");
        }
    }
    // The proxy does not know the cluster of a request without a route.
    let unknown = proxy.vm().request().body(chat(500));
    assert_eq!(first_host(&unknown), None);
    unknown.finish(proxy.vm());
    proxy.run_for(Duration::from_millis(200));
    let unmatched = metric(&proxy, "trimtab_unmatched_total.pool.chat.kind.cluster");
    assert_eq!(unmatched, 4, "completion requests alone");
    let passed = metric(&proxy, "trimtab_passed_total.pool.chat.kind.json");
    assert_eq!(passed, 0, "what goes elsewhere is not for `paths`");
    let script = proxy.worker(0).script.clone();
    assert_eq!(script.log_text(LogLevel::Warn), "");
    let log = script.log_text(LogLevel::Info);
    assert_eq!(log.matches(OTHER).count(), 1, "once: {log}");
    assert_eq!(reported(&mut proxy).decided, 3);
}

#[test]
fn a_request_that_belongs_to_no_pool_costs_two_hostcalls_and_any_other_kind_one() {
    let mut proxy = of_a_service();
    let script = proxy.worker(0).script.clone();
    let mut calls = |method: &str, cluster: &str| {
        script.record();
        let request = proxy.vm().request().header(":method", method);
        let exchange = request.attribute(CLUSTER, cluster).body(chat(500));
        exchange.finish(proxy.vm());
        let made = script.take_recorded().into_iter();
        made.map(|made| made.call).collect::<Vec<_>>()
    };
    // The first one is named in the log.
    calls("POST", OTHER);
    let headers = "proxy_get_header_map_pairs";
    assert_eq!(calls("POST", OTHER), [headers, "proxy_get_property"]);
    assert_eq!(calls("GET", OTHER), [headers]);
    let placed = calls("POST", OURS);
    let asked = placed.iter().filter(|call| **call == "proxy_get_property");
    println!("hostcalls of a request of the pool: {}", placed.len());
    assert!(asked.count() >= 1 && placed.len() > 4, "{placed:?}");
}

#[test]
fn of_several_pools_each_gets_its_clusters_and_one_without_the_condition_the_rest() {
    let config = r#"{"aggregator": {"cluster": "trimtab_aggregator"}, "pools": [
        {"pool": "code", "clusters": ["outbound|9000|*"], "models": ["coder"]},
        {"pool": "chat", "services": ["models/llama:8000"]},
        {"pool": "rest", "authorities": ["rest.example"]}]}"#;
    let mut proxy = ScriptedProxy::start(module(), config, 1, Options::default()).expect("starts");
    proxy.run_for(Duration::from_millis(200));
    for (cluster, authority, counted) in [
        (OURS, "x", Some("chat")),
        ("outbound|9000||a.b.svc.x", "x", None),
        (OTHER, "rest.example", Some("rest")),
        (OTHER, "x", None),
    ] {
        let count = |proxy: &ScriptedProxy, pool: &str| {
            metric(
                proxy,
                &format!("trimtab_decisions_total.pool.{pool}.reason.no_table"),
            )
        };
        let before = ["code", "chat", "rest"].map(|pool| count(&proxy, pool));
        let request = proxy.vm().request().attribute(CLUSTER, cluster);
        let exchange = request.header(":authority", authority).body(chat(100));
        assert!(exchange.request_ended);
        exchange.finish(proxy.vm());
        proxy.run_for(Duration::from_millis(200));
        for (pool, before) in ["code", "chat", "rest"].iter().zip(before) {
            let more = count(&proxy, pool) - before;
            assert_eq!(more == 1, counted == Some(*pool), "{cluster}: {pool}");
        }
    }
}
