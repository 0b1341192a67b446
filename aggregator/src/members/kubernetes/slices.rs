//! Reads the endpoints of a Service from its EndpointSlices.

use super::found::Found;
use super::hardware::Asks;
use crate::members::text::printable;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use std::sync::Arc;

/// Returns the endpoints of a Service at the port with this name (`None`: its only port). If the
/// Service has both families, takes IPv4: a pod with an address of each is one endpoint.
///
/// # Errors
/// Says why it is not clear which port is meant.
pub(super) fn found(
    slices: &[Arc<EndpointSlice>],
    port: Option<&String>,
) -> Result<Vec<Found>, String> {
    let has_ipv4 = slices.iter().any(|slice| slice.address_type == "IPv4");
    // A table cannot carry host names, the third kind of address.
    let family = if has_ipv4 { "IPv4" } else { "IPv6" };
    let mut all = Vec::new();
    for slice in slices.iter().filter(|slice| slice.address_type == family) {
        let port = number(slice, port)?;
        all.extend(slice.endpoints.iter().filter_map(|one| endpoint(one, port)));
    }
    Ok(all)
}

fn number(slice: &EndpointSlice, wanted: Option<&String>) -> Result<u16, String> {
    let ports = slice.ports.as_deref().unwrap_or_default();
    let named = |name: &String| {
        let mut named = ports.iter().filter(|port| port.name.as_ref() == Some(name));
        let why = || format!("the Service has no port `{name}`; see `discovery.kubernetes.port`");
        named.next().ok_or_else(why)
    };
    let port = match (wanted, ports) {
        (Some(name), _) => named(name)?,
        (None, [only]) => only,
        (None, []) => return Err("the Service has no port".to_owned()),
        (None, _) => {
            let names: Vec<&str> = ports
                .iter()
                .filter_map(|port| port.name.as_deref())
                .collect();
            let names = names.join(", ");
            return Err(format!(
                "the Service has several ports; set `discovery.kubernetes.port` to one of {names}"
            ));
        }
    };
    let number = port.port.and_then(|number| u16::try_from(number).ok());
    number
        .filter(|number| *number > 0)
        .ok_or_else(|| "the Service's port has no number".to_owned())
}

fn endpoint(endpoint: &Endpoint, port: u16) -> Option<Found> {
    let conditions = endpoint.conditions.as_ref();
    let is_leaving = conditions.and_then(|found| found.terminating) == Some(true);
    // By the API, an endpoint without the condition counts as ready.
    let is_ready = conditions.and_then(|found| found.ready).unwrap_or(true);
    let pod = endpoint.target_ref.as_ref();
    Some(Found {
        uid: pod.and_then(|pod| pod.uid.clone()),
        // By the API, further addresses of an endpoint have no meaning.
        ip: endpoint.addresses.first()?.parse().ok()?,
        ports: vec![port],
        is_ready,
        is_leaving,
        class: None,
        zone: endpoint.zone.clone().filter(|zone| printable(zone).is_ok()),
        asks: Asks::named(
            pod.and_then(|pod| pod.name.clone()),
            endpoint.node_name.clone(),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(slice: Value, port: Option<&str>) -> Result<Vec<Found>, String> {
        read_all(vec![slice], port)
    }

    fn read_all(slices: Vec<Value>, port: Option<&str>) -> Result<Vec<Found>, String> {
        let slice = |slice| Arc::new(serde_json::from_value(slice).expect("a slice"));
        let slices: Vec<Arc<EndpointSlice>> = slices.into_iter().map(slice).collect();
        found(&slices, port.map(str::to_owned).as_ref())
    }

    fn slice() -> Value {
        json!({
            "metadata": {}, "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8000}],
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": true}, "zone": "a", "targetRef": {"uid": "u1"}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": false, "serving": true, "terminating": true}},
                {"addresses": ["10.0.0.3"], "conditions": {}},
                {"addresses": ["nowhere"], "conditions": {}},
            ],
        })
    }

    #[test]
    fn endpoints_are_read_with_what_the_slice_says_of_them() {
        let found = read(slice(), None).expect("one port");
        let said: Vec<_> = found
            .iter()
            .map(|one| (one.ip.to_string(), one.is_ready, one.is_leaving))
            .collect();
        let said: Vec<_> = said
            .iter()
            .map(|(ip, ready, leaving)| (ip.as_str(), *ready, *leaving))
            .collect();
        assert_eq!(
            said,
            [
                ("10.0.0.1", true, false),
                ("10.0.0.2", false, true),
                ("10.0.0.3", true, false)
            ]
        );
        let first = found.first().expect("three");
        assert_eq!(
            (
                first.uid.as_deref(),
                first.zone.as_deref(),
                first.ports.as_slice()
            ),
            (Some("u1"), Some("a"), &[8000][..])
        );
    }

    #[test]
    fn which_port_is_clear_or_told() {
        let mut two = slice();
        two["ports"] = json!([{"name": "http", "port": 8000}, {"name": "grpc", "port": 9000}]);
        let why = read(two.clone(), None).expect_err("two ports");
        assert!(why.contains("http, grpc"), "{why}");
        let named = read(two.clone(), Some("grpc")).expect("named");
        assert!(named.iter().all(|one| one.ports == [9000]));
        let why = read(two, Some("web")).expect_err("no such port");
        assert!(why.contains("`web`"), "{why}");
        let mut names = slice();
        names["addressType"] = json!("FQDN");
        assert_eq!(read(names, None), Ok(Vec::new()));
    }

    #[test]
    fn a_pod_with_an_address_of_each_family_is_one_endpoint() {
        let mut v6 = slice();
        v6["addressType"] = json!("IPv6");
        v6["endpoints"] = json!([{"addresses": ["fd00::1"], "targetRef": {"uid": "u1"}}]);
        let ips = |slices: Vec<Value>| {
            let found = read_all(slices, None).expect("one port");
            found
                .iter()
                .map(|one| one.ip.to_string())
                .collect::<Vec<_>>()
        };
        let v4 = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
        assert_eq!(ips(vec![v6.clone(), slice()]), v4);
        assert_eq!(ips(vec![v6]), ["fd00::1"]);
    }
}
