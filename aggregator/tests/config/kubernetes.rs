//! The settings of `discovery.kubernetes` and `pools_from`.

use std::time::Duration;
use trimtab_aggregator::Config;
use trimtab_aggregator::members::Discovery;
use trimtab_aggregator::members::kubernetes::{self, Source};

#[test]
fn what_a_cluster_declares_is_read_and_what_it_could_not_declare_is_refused() {
    let read = |kubernetes: &str| {
        Config::from_yaml(&format!(
            "pools: [{{name: a, discovery: {{kubernetes: {kubernetes}}}}}]"
        ))
    };
    let from = |kubernetes: &str| {
        let config = read(kubernetes).unwrap_or_else(|problems| panic!("{problems}"));
        match &config.pools[0].discovery {
            Discovery::Kubernetes(section) => section.source.clone(),
            other => panic!("{other:?}"),
        }
    };
    let name = || kubernetes::Name {
        namespace: "ml".to_owned(),
        name: "vllm".to_owned(),
    };
    assert_eq!(
        from("{inference_pool: ml/vllm}"),
        Source::InferencePool(name())
    );
    let service = |port: Option<&str>| Source::Service {
        name: name(),
        port: port.map(str::to_owned),
    };
    assert_eq!(from("{service: ml/vllm}"), service(None));
    assert_eq!(
        from("{service: ml/vllm, port: http}"),
        service(Some("http"))
    );
    let Source::Pods {
        namespace,
        selection,
    } = from("{pods: {labels: {app: vllm, 'llm-d.ai/role': both}, ports: [8000, 8001]}}")
    else {
        panic!("pods")
    };
    assert_eq!((namespace.as_str(), selection.labels.len()), ("default", 2));
    assert_eq!(selection.ports, [8000, 8001]);
    for (kubernetes, expected) in [
        (
            "{}",
            "names nothing that declares endpoints; write one of `inference_pool: namespace/name`",
        ),
        (
            "{service: vllm}",
            "service: \"vllm\": has no namespace; write it as namespace/name",
        ),
        (
            "{service: ml/vLLM}",
            "service: \"ml/vLLM\": is no name of an object",
        ),
        (
            "{service: ml/a, inference_pool: ml/b}",
            "names more than one kind of object",
        ),
        (
            "{inference_pool: ml/b, port: http}",
            "has `port`, which belongs to `service`",
        ),
        (
            "{pods: {labels: {}, ports: [8000]}}",
            "pods: selects no labels",
        ),
        (
            "{pods: {labels: {app: 'a,b'}, ports: [8000]}}",
            "has what is no key or value of a label",
        ),
        (
            "{pods: {labels: {app: a}, ports: [0]}}",
            "has a port that is not within 1 to 65535",
        ),
        (
            "{pods: {labels: {app: a}}}",
            "pods.ports: is required; write `ports: [8000]`",
        ),
        (
            "{pods: {ports: [1]}}",
            "pods.labels: is required; write `labels: {app: vllm}`",
        ),
        (
            "{pods: {labels: {app: a}, ports: [1, 2, 3, 4, 5, 6, 7, 8, 9]}}",
            "has more than 8 ports",
        ),
        ("{service: ml/a, clas: b}", "did you mean `class`?"),
    ] {
        let problems = read(kubernetes).unwrap_err().to_string();
        assert!(problems.contains(expected), "{kubernetes}: {problems}");
    }
}

#[test]
fn pools_may_come_from_a_cluster_alone_and_have_what_pools_have() {
    let text = "pools_from: {kubernetes: {namespaces: [ml]}, publish_interval: 70ms, scrape: {interval: 1s}}";
    let config = Config::from_yaml(text).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(config.pools.is_empty());
    let from = config.pools_from.unwrap();
    assert_eq!(from.kubernetes.namespaces, ["ml"]);
    assert_eq!(from.template.publish_interval, Duration::from_millis(70));
    assert_eq!(from.template.scrape.interval, Duration::from_secs(1));
    for (from, expected) in [
        ("{}", "pools_from.kubernetes: is required"),
        (
            "{kubernetes: {namespaces: [ML]}}",
            "pools_from.kubernetes.namespaces: a list of 1: is no name of an object",
        ),
        (
            "{kubernetes: {}, name: a}",
            "pools_from.name: \"a\": is not a known field",
        ),
        (
            "{kubernetes: {}, scrape: {path: x}}",
            "pools_from.scrape.path",
        ),
    ] {
        let problems = Config::from_yaml(&format!("pools_from: {from}")).unwrap_err();
        assert!(problems.to_string().contains(expected), "{problems}");
    }
}
