//! Says on which hosts a request is tried, and counts the requests of each host.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most hosts on which one request is tried.
const MAX_ATTEMPTS: usize = 3;

/// The endpoints with their requests in flight.
#[derive(Debug, Clone)]
pub(super) struct Upstreams {
    /// The allowed hosts. If empty, any host that the filter names is allowed.
    endpoints: Arc<[SocketAddr]>,
    in_flight: Arc<Mutex<BTreeMap<SocketAddr, usize>>>,
}

/// Counts one request on an endpoint until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    upstreams: Upstreams,
    address: SocketAddr,
}

impl Upstreams {
    pub(super) fn new(endpoints: &[SocketAddr]) -> Self {
        Self {
            endpoints: endpoints.into(),
            in_flight: Arc::default(),
        }
    }

    /// Returns the hosts to try, in order: those of the filter's header, then the other endpoints,
    /// least loaded first. As Envoy's override_host policy does, skips names that are no addresses,
    /// and addresses that are no endpoints of this proxy.
    pub(super) fn candidates(&self, destination: Option<&str>) -> Vec<SocketAddr> {
        let named = destination.unwrap_or_default().split(',');
        let named = named.filter_map(|host| host.trim().parse::<SocketAddr>().ok());
        let mut hosts: Vec<SocketAddr> = Vec::new();
        for host in named.chain(self.least_loaded()) {
            let allowed = self.endpoints.is_empty() || self.endpoints.contains(&host);
            if allowed && !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        hosts.truncate(MAX_ATTEMPTS);
        hosts
    }

    /// Counts a request on `address` until the result is dropped.
    pub(super) fn count(&self, address: SocketAddr) -> InFlight {
        *self.counts().entry(address).or_default() += 1;
        InFlight {
            upstreams: self.clone(),
            address,
        }
    }

    /// Returns the endpoints by requests in flight, fewest first. Equal ones keep the order of the
    /// command line.
    fn least_loaded(&self) -> Vec<SocketAddr> {
        let counts = self.counts();
        let mut endpoints = self.endpoints.to_vec();
        endpoints.sort_by_key(|endpoint| counts.get(endpoint).copied().unwrap_or(0));
        endpoints
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, usize>> {
        self.in_flight
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut counts = self.upstreams.counts();
        let left = counts
            .get(&self.address)
            .map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            counts.remove(&self.address);
        } else {
            counts.insert(self.address, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn the_filters_hosts_come_first_and_the_least_loaded_endpoint_after_them() {
        let upstreams = Upstreams::new(&[address(1), address(2), address(3)]);
        let _busy = upstreams.count(address(1));
        assert_eq!(
            upstreams.candidates(Some("127.0.0.1:3")),
            [address(3), address(2), address(1)]
        );
        assert_eq!(
            upstreams.candidates(None),
            [address(2), address(3), address(1)]
        );
    }

    #[test]
    fn hosts_that_are_no_endpoints_or_no_addresses_are_skipped() {
        let upstreams = Upstreams::new(&[address(1)]);
        assert_eq!(
            upstreams.candidates(Some("127.0.0.1:9, nonsense,,127.0.0.1:1")),
            [address(1)]
        );
    }

    #[test]
    fn without_endpoints_any_host_of_the_filter_is_tried_and_nothing_else() {
        let upstreams = Upstreams::new(&[]);
        assert_eq!(upstreams.candidates(Some("127.0.0.1:9")), [address(9)]);
        assert!(upstreams.candidates(None).is_empty());
    }

    #[test]
    fn a_request_is_counted_until_it_ends() {
        let upstreams = Upstreams::new(&[address(1), address(2)]);
        let first = upstreams.count(address(1));
        let second = upstreams.count(address(1));
        drop(first);
        assert_eq!(upstreams.candidates(None).first(), Some(&address(2)));
        drop(second);
        assert_eq!(upstreams.candidates(None).first(), Some(&address(1)));
        assert!(upstreams.counts().is_empty());
    }
}
