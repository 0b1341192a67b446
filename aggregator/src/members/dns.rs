//! Endpoints from the A and AAAA records of a name: a headless Kubernetes Service, Consul, a hosts
//! file.

use super::text::{host_name, printable};
use super::{MetricsAt, Target, Targets, publish};
use crate::metrics::PoolMetrics;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::watch;
use trimtab_estimate::EndpointSpec;
use trimtab_settings::Settings;

/// Which addresses of a name are endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    /// IPv4 addresses, or IPv6 if there are none. A server with a record of each is one server.
    #[default]
    Auto,
    /// IPv4 addresses.
    Ipv4,
    /// IPv6 addresses.
    Ipv6,
    /// All addresses. Each is a server of its own.
    Any,
}

/// The section `discovery.dns`: the name to resolve, and facts of its endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The name to resolve.
    pub host: String,
    /// The port of every endpoint.
    pub port: u16,
    /// The hardware class of every endpoint.
    pub class: String,
    /// Which of the addresses are endpoints.
    pub family: Family,
    /// How often the name is resolved.
    pub interval: Duration,
}

impl Name {
    pub(super) fn read(s: &Settings<'_>) -> Self {
        Self {
            host: s
                .about("The name, without a port.")
                .string("host")
                .max_bytes(253)
                .check(|host| host_name(host))
                .hint("write the name alone, as in vllm.default.svc; its port goes to `port`")
                .required(),
            port: s
                .about("The port of every endpoint.")
                .u64("port")
                .range(1..=65_535)
                .map(u16::try_from)
                .required(),
            class: s
                .about("The hardware class of every endpoint.")
                .string("class")
                .check(|text| printable(text))
                .default(String::new()),
            family: s
                .about(
                    "Which records are endpoints. A server with an A and an AAAA \
                    record is one server: auto takes the IPv4 addresses, or the IPv6 \
                    ones where there are none. With any, each address is a server. \
                    Envoy must know the servers by the same addresses \
                    (`dns_lookup_family`).",
                )
                .string("family")
                .one_of(&[
                    ("auto", Family::Auto),
                    ("ipv4", Family::Ipv4),
                    ("ipv6", Family::Ipv6),
                    ("any", Family::Any),
                ])
                .default(Family::Auto),
            interval: s
                .about("How often the name is resolved.")
                .duration("interval")
                .range(Duration::from_millis(100)..=Duration::from_secs(600))
                .default(Duration::from_secs(5)),
        }
    }
}

/// Resolves a name periodically. A name without addresses is an error: an empty answer of a
/// resolver is more often a fault than the truth. Keeping the last list does no harm, because
/// endpoints that are gone turn suspect.
pub(super) async fn follow(name: &Name, out: &watch::Sender<Targets>, metrics: &PoolMetrics) {
    let (host, interval) = (&name.host, name.interval);
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !out.is_closed() {
        ticks.tick().await;
        let outcome = match tokio::time::timeout(
            interval.max(Duration::from_secs(5)),
            tokio::net::lookup_host((host.as_str(), name.port)),
        )
        .await
        {
            Ok(Ok(addresses)) => targets(addresses.collect(), name),
            Ok(Err(error)) => Err(format!("{host} could not be resolved: {error}")),
            Err(_) => Err(format!("{host}: the resolver did not answer")),
        };
        publish(out, outcome, metrics);
    }
}

/// Makes targets of addresses. They are sorted, because resolvers rotate their answers.
fn targets(mut addresses: Vec<SocketAddr>, name: &Name) -> Result<Vec<Target>, String> {
    // Some resolvers write IPv4 as `::ffff:10.0.0.1` in addition to the address itself.
    for address in &mut addresses {
        address.set_ip(address.ip().to_canonical());
    }
    addresses.sort_unstable();
    addresses.dedup();
    let found = addresses.len();
    let has_ipv4 = addresses.iter().any(SocketAddr::is_ipv4);
    addresses.retain(|address| match name.family {
        Family::Auto => address.is_ipv4() == has_ipv4,
        Family::Ipv4 => address.is_ipv4(),
        Family::Ipv6 => address.is_ipv6(),
        Family::Any => true,
    });
    let target = |address: SocketAddr| Target {
        spec: EndpointSpec {
            address: address.to_string(),
            class: name.class.clone(),
            ..EndpointSpec::default()
        },
        metrics: MetricsAt::Address(address),
        engine: None,
        id: None,
    };
    match (addresses.is_empty(), found) {
        (false, _) => Ok(addresses.into_iter().map(target).collect()),
        (true, 0) => Err(format!("{} has no addresses", name.host)),
        (true, _) => Err(format!(
            "{} has {found} addresses, none of the family that `discovery.dns.family` names",
            name.host
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_with_a_record_of_each_family_is_one() {
        let listed = |family, addresses: &[&str]| {
            let name = Name {
                host: "vllm".to_owned(),
                port: 80,
                class: String::new(),
                family,
                interval: Duration::from_secs(5),
            };
            let addresses = addresses.iter().map(|text| text.parse().unwrap());
            targets(addresses.collect(), &name).map(|list| {
                let address = |target: Target| target.spec.address;
                list.into_iter().map(address).collect::<Vec<_>>()
            })
        };
        let both = [
            "[fd00::1]:80",
            "10.0.0.2:80",
            "10.0.0.1:80",
            "[::ffff:10.0.0.1]:80",
        ];
        let (v4, v6) = (["10.0.0.1:80", "10.0.0.2:80"], ["[fd00::1]:80"]);
        assert_eq!(listed(Family::Auto, &both).unwrap(), v4);
        assert_eq!(listed(Family::Auto, &v6).unwrap(), v6);
        assert_eq!(listed(Family::Ipv4, &both).unwrap(), v4);
        assert_eq!(listed(Family::Ipv6, &both).unwrap(), v6);
        assert_eq!(listed(Family::Any, &both).unwrap(), [&v4[..], &v6].concat());
        let none = listed(Family::Ipv6, &v4).unwrap_err();
        assert!(none.contains("family") && none.contains('2'), "{none}");
        assert!(
            listed(Family::Any, &[])
                .unwrap_err()
                .contains("no addresses")
        );
    }
}
