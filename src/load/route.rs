//! Says where a lane's requests go: to a proxy, or without Envoy to a server that a simple balancer
//! picks.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use trimtab_workload::Rng;

/// The route of one lane.
#[derive(Debug)]
pub enum Route {
    /// To a proxy, which balances the load.
    Proxy(SocketAddr),
    /// Straight to a server.
    Direct(Balancer),
}

/// Envoy's two usual policies, for runs without Envoy.
#[derive(Debug)]
pub struct Balancer {
    servers: Vec<Server>,
    policy: Policy,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    in_flight: AtomicUsize,
}

#[derive(Debug)]
enum Policy {
    RoundRobin(AtomicUsize),
    /// Picks the server with fewer requests in flight of two random ones. Envoy's default for equal
    /// weights.
    LeastRequest(Mutex<Rng>),
}

/// The destination of one request. It counts the request as in flight until it is dropped.
#[derive(Debug)]
pub(super) struct Target<'a> {
    /// Address to connect to.
    pub(super) address: SocketAddr,
    /// The server; absent if a proxy chooses it.
    pub(super) server: Option<SocketAddr>,
    counted: Option<&'a AtomicUsize>,
}

impl Drop for Target<'_> {
    fn drop(&mut self) {
        if let Some(counter) = self.counted {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Balancer {
    /// Returns a balancer that uses each server in turn.
    #[must_use]
    pub fn round_robin(servers: &[SocketAddr]) -> Self {
        Self::new(servers, Policy::RoundRobin(AtomicUsize::new(0)))
    }

    /// Returns a balancer that uses the less loaded of two random servers.
    #[must_use]
    pub fn least_request(servers: &[SocketAddr], seed: u64) -> Self {
        Self::new(servers, Policy::LeastRequest(Mutex::new(Rng::new(seed))))
    }

    fn new(servers: &[SocketAddr], policy: Policy) -> Self {
        let server = |address: &SocketAddr| Server {
            address: *address,
            in_flight: AtomicUsize::new(0),
        };
        Self {
            servers: servers.iter().map(server).collect(),
            policy,
        }
    }

    fn pick(&self) -> Option<&Server> {
        let count = self.servers.len().max(1);
        match &self.policy {
            Policy::RoundRobin(next) => self
                .servers
                .get(next.fetch_add(1, Ordering::Relaxed) % count),
            Policy::LeastRequest(rng) => {
                let mut rng = rng.lock().unwrap_or_else(PoisonError::into_inner);
                let mut draw = || self.servers.get((rng.next_u64() % count as u64) as usize);
                let (a, b) = (draw()?, draw()?);
                let load = |server: &Server| server.in_flight.load(Ordering::Relaxed);
                Some(if load(b) < load(a) { b } else { a })
            }
        }
    }
}

impl Route {
    /// Returns the destination of the next request, and `None` if there is no server.
    pub(super) fn target(&self) -> Option<Target<'_>> {
        match self {
            Self::Proxy(address) => Some(Target {
                address: *address,
                server: None,
                counted: None,
            }),
            Self::Direct(balancer) => balancer.pick().map(|server| {
                server.in_flight.fetch_add(1, Ordering::Relaxed);
                Target {
                    address: server.address,
                    server: Some(server.address),
                    counted: Some(&server.in_flight),
                }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(n: u8) -> Vec<SocketAddr> {
        (1..=n)
            .map(|last| SocketAddr::from(([127, 0, 0, last], 80)))
            .collect()
    }

    #[test]
    fn round_robin_takes_each_server_in_turn() {
        let route = Route::Direct(Balancer::round_robin(&servers(3)));
        let seen: Vec<_> = (0..6).map(|_| route.target().unwrap().address).collect();
        assert_eq!(seen, [servers(3), servers(3)].concat());
    }

    #[test]
    fn least_request_keeps_requests_in_flight_nearly_even_and_lets_them_go() {
        let balancer = Route::Direct(Balancer::least_request(&servers(4), 1));
        let held: Vec<_> = (0..400).map(|_| balancer.target().unwrap()).collect();
        let Route::Direct(inner) = &balancer else {
            unreachable!()
        };
        let counts: Vec<usize> = inner
            .servers
            .iter()
            .map(|s| s.in_flight.load(Ordering::Relaxed))
            .collect();
        assert!(
            counts.iter().all(|count| (95..=105).contains(count)),
            "{counts:?}"
        );
        drop(held);
        assert!(
            inner
                .servers
                .iter()
                .all(|s| s.in_flight.load(Ordering::Relaxed) == 0)
        );
    }

    #[test]
    fn without_servers_there_is_no_target() {
        assert!(Route::Direct(Balancer::round_robin(&[])).target().is_none());
    }
}
