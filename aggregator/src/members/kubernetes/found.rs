//! Makes endpoints from what a cluster says of its pods.

use super::hardware::{Asks, Known};
use super::section::Reading;
use crate::members::{MetricsAt, Target};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use trimtab_estimate::EndpointSpec;

/// A pod, or another server behind an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Its UID. Absent: only the address is known.
    pub(super) uid: Option<String>,
    pub(super) ip: IpAddr,
    pub(super) ports: Vec<u16>,
    /// The cluster says that it can answer.
    pub(super) is_ready: bool,
    /// It is being deleted.
    pub(super) is_leaving: bool,
    /// Its hardware class. Absent: not known.
    pub(super) class: Option<String>,
    /// Its zone. Absent: not known.
    pub(super) zone: Option<String>,
    /// What it says of its hardware.
    pub(super) asks: Asks,
}

impl Found {
    /// Takes class and zone if they are absent.
    pub(super) fn learn(&mut self, known: Known) {
        self.class = self.class.take().or(known.class);
        self.zone = self.zone.take().or(known.zone);
    }
}

/// Returns the endpoints of a pool, one for each port of `found`:
///
/// - Ready pods are listed.
/// - Pods in the last list, `before`, that are not ready or are being deleted drain: they may still
///   have requests.
/// - Other pods are left out, because they have never been ready.
/// - Where several pods have one address, the ready one counts.
pub(super) fn targets(found: &[Found], before: &[Target], reading: &Reading) -> Vec<Target> {
    let key =
        |id: Option<&String>, address: &str| id.cloned().unwrap_or_else(|| address.to_owned());
    let listed: BTreeSet<String> = before
        .iter()
        .map(|target| key(target.id.as_ref(), &target.spec.address))
        .collect();
    let mut by_address: BTreeMap<String, Target> = BTreeMap::new();
    for one in found {
        for port in &one.ports {
            let address = SocketAddr::new(one.ip.to_canonical(), *port);
            let target = target(one, address, reading);
            let id = key(target.id.as_ref(), &target.spec.address);
            if target.spec.draining && !listed.contains(&id) {
                continue;
            }
            let place = by_address.entry(target.spec.address.clone());
            let place = place.or_insert_with(|| target.clone());
            if place.spec.draining && !target.spec.draining {
                *place = target;
            }
        }
    }
    by_address.into_values().collect()
}

fn target(found: &Found, address: SocketAddr, reading: &Reading) -> Target {
    let class = found.class.clone();
    Target {
        spec: EndpointSpec {
            address: address.to_string(),
            class: class.unwrap_or_else(|| reading.class.clone()),
            draining: !found.is_ready || found.is_leaving,
            zone: found.zone.clone().unwrap_or_default(),
            ..EndpointSpec::default()
        },
        metrics: MetricsAt::Address(address),
        engine: None,
        id: found.uid.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading() -> Reading {
        Reading {
            class: "h100".to_owned(),
            ..Reading::default()
        }
    }

    fn found(uid: &str, ip: &str, is_ready: bool, is_leaving: bool) -> Found {
        Found {
            uid: Some(uid.to_owned()),
            ip: ip.parse().expect("an address"),
            ports: vec![8000, 8001],
            is_ready,
            is_leaving,
            class: None,
            zone: None,
            asks: Asks::default(),
        }
    }

    /// UID, address and whether the endpoint drains.
    fn rows(targets: &[Target]) -> Vec<(&str, &str, bool)> {
        targets
            .iter()
            .map(|target| {
                let id = target.id.as_deref().unwrap_or("-");
                (id, target.spec.address.as_str(), target.spec.draining)
            })
            .collect()
    }

    #[test]
    fn a_pod_has_a_row_per_port_once_it_is_ready_and_drains_until_it_is_gone() {
        let list = |found: &[Found], before: &[Target]| targets(found, before, &reading());
        let starting = list(&[found("a", "10.0.0.1", false, false)], &[]);
        assert!(starting.is_empty());
        let ready = list(&[found("a", "10.0.0.1", true, false)], &starting);
        assert_eq!(
            rows(&ready),
            [("a", "10.0.0.1:8000", false), ("a", "10.0.0.1:8001", false)]
        );
        assert_eq!(
            ready.first().map(|target| target.spec.class.as_str()),
            Some("h100")
        );
        for (is_ready, is_leaving) in [(false, false), (true, true), (false, true)] {
            let now = list(&[found("a", "10.0.0.1", is_ready, is_leaving)], &ready);
            assert_eq!(
                rows(&now),
                [("a", "10.0.0.1:8000", true), ("a", "10.0.0.1:8001", true)]
            );
            // The pod drains for as long as it exists.
            assert_eq!(list(&[found("a", "10.0.0.1", false, true)], &now), now);
        }
        assert!(list(&[], &ready).is_empty());
    }

    #[test]
    fn an_address_that_was_given_to_another_pod_is_the_others_as_soon_as_that_is_ready() {
        let before = targets(&[found("a", "10.0.0.1", true, false)], &[], &reading());
        let leaving = found("a", "10.0.0.1", true, true);
        for next in [
            found("b", "10.0.0.1", true, false),
            found("b", "::ffff:10.0.0.1", true, false),
        ] {
            for both in [[leaving.clone(), next.clone()], [next, leaving.clone()]] {
                let now = targets(&both, &before, &reading());
                assert_eq!(
                    rows(&now),
                    [("b", "10.0.0.1:8000", false), ("b", "10.0.0.1:8001", false)]
                );
            }
        }
        // The new pod has another UID, so it was not in the last list.
        let starting = found("b", "10.0.0.1", false, false);
        assert!(targets(&[starting], &before, &reading()).is_empty());
    }
}
