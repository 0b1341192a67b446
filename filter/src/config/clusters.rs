//! The proxy's clusters whose requests belong to a pool.
//!
//! In a mesh one proxy leads to many Services. The cluster is what the proxy has routed a request
//! to, whatever name the client used.

/// Checks an entry of `services`: `NAMESPACE/NAME:PORT`, or `NAMESPACE/NAME` for all ports.
pub(super) fn is_service(text: &str) -> bool {
    let is_label = |word: &str| {
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        !word.is_empty() && word.bytes().all(plain)
    };
    let (service, port) = text.split_once(':').unwrap_or((text, "1"));
    let names = service.split_once('/');
    port.parse::<u16>().is_ok()
        && names.is_some_and(|(namespace, name)| is_label(namespace) && is_label(name))
}

/// Whether a cluster is one of those that Istio makes of this entry of `services`, also for its
/// subsets.
pub(super) fn is_of(service: &str, cluster: &[u8]) -> bool {
    let (service, port) = service.split_once(':').unwrap_or((service, ""));
    let (namespace, name) = service.split_once('/').unwrap_or_default();
    // `outbound|PORT|SUBSET|HOST`; at a waypoint `inbound-vip|PORT|http/SUBSET|HOST`. The host is
    // `NAME.NAMESPACE.svc.`, followed by the mesh's domain.
    let mut parts = cluster.split(|byte| *byte == b'|').skip(1);
    let is_port = |own: &[u8]| port.is_empty() || own == port.as_bytes();
    if !parts.next().is_some_and(is_port) {
        return false;
    }
    let host = [name, ".", namespace, ".svc."].concat();
    parts
        .nth(1)
        .is_some_and(|own| own.starts_with(host.as_bytes()))
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn has(conditions: &str, cluster: &str) -> bool {
        let json = format!(r#"{{"pool": "p", "aggregator": {{"cluster": "a"}}, {conditions}}}"#);
        let config = Config::parse(json.as_bytes()).unwrap();
        config.pools[0].has_cluster(cluster.as_bytes())
    }

    #[test]
    fn a_service_stands_for_every_cluster_that_istio_makes_of_its_port() {
        let has = |name: &str| has(r#""services": ["models/llama:8000"]"#, name);
        for name in [
            "outbound|8000||llama.models.svc.cluster.local",
            "outbound|8000|v1|llama.models.svc.cluster.local",
            "inbound|8000|http|llama.models.svc.cluster.local",
            "inbound-vip|8000|http|llama.models.svc.cluster.local",
            "inbound-vip|8000|http/v1|llama.models.svc.mesh.example",
            "outbound|8000||llama.models.svc.clusterset.local",
        ] {
            assert!(has(name), "{name}");
        }
        for name in [
            "outbound|8001||llama.models.svc.cluster.local",
            "outbound|80000||llama.models.svc.cluster.local",
            "outbound|8000||llama.other.svc.cluster.local",
            "outbound|8000||xllama.models.svc.cluster.local",
            "outbound|8000||llama.models.svcx.cluster.local",
            "outbound|8000|llama.models.svc.cluster.local|x",
            "inbound|8000||",
            "llama.models.svc.cluster.local",
            "|8000",
            "",
        ] {
            assert!(!has(name), "{name}");
        }
    }

    #[test]
    fn a_service_without_a_port_has_all_of_them() {
        let of = r#""services": ["models/llama"]"#;
        assert!(has(of, "outbound|9||llama.models.svc.cluster.local"));
        assert!(!has(of, "outbound|9||coder.models.svc.cluster.local"));
    }

    #[test]
    fn names_are_whole_or_beginnings_and_fit_beside_services() {
        let of = r#""clusters": ["llama", "outbound|54321||llama-ip-*"], "services": ["models/llama:80"]"#;
        let has = |name: &str| has(of, name);
        assert!(has("llama") && has("outbound|54321||llama-ip-1a2b.models.svc.cluster.local"));
        assert!(has("outbound|80||llama.models.svc.cluster.local"));
        assert!(!has("llama2") && !has("outbound|54321||llama") && !has(""));
    }

    #[test]
    fn what_is_no_service_is_told_with_what_to_write() {
        for wrong in [
            "llama",
            "models/",
            "/llama",
            "models/llama:",
            "models/llama:http",
            "models/llama:80000",
            "models/llama.svc:80",
            "Models/llama:80",
            "a/b/c:80",
        ] {
            let json = format!(
                r#"{{"pool": "p", "aggregator": {{"cluster": "a"}}, "services": ["models/x:1", "{wrong}"]}}"#
            );
            let problems = Config::parse(json.as_bytes()).unwrap_err().to_string();
            assert!(
                problems.contains("services") && problems.contains(&format!("`{wrong}`")),
                "{problems}"
            );
            assert!(problems.contains("models/llama:8000"), "{problems}");
        }
    }
}
