//! The plugin with the role single or tap in one VM: which pool a request belongs to, and what the
//! pools share.
#![cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, reason = "only a VM has callbacks")
)]

use std::rc::Rc;

use crate::config::{self, Config, Mode, PoolSet, Role};
use crate::facts::{Digest, Head, Plan};
use crate::host::{self, HostError, Level};
use crate::metrics::{Counter, Event, Passed, Unmatched};
use crate::pair::messages::{self, Fault, Reported};
use crate::plugin::body_hold::BodyHold;
use crate::plugin::route;
use crate::plugin::unplaced_paths::Told;
use crate::pool::{Pool, kept_names};
use crate::sync;

/// One configured plugin in one VM.
#[derive(Debug)]
pub(crate) struct DecidingPlugin {
    pub(crate) config: Rc<Config>,
    /// The pair, as the mark for pick has it.
    pub(crate) pair: String,
    /// Name of the property in which pick says where it waits.
    pub(crate) seat: String,
    /// Whether headers may be held.
    pub(crate) holding: BodyHold,
    /// In the order of the configuration.
    pools: Vec<Rc<Pool>>,
    /// The names of the pools, as the log has them.
    pool_names: String,
    reported: Reported,
    passed: Told,
}

impl DecidingPlugin {
    /// - `pools`: one for each pool of the configuration, in its order.
    pub(crate) fn new(config: Rc<Config>, pools: Vec<Rc<Pool>>) -> Self {
        let pair = config.pair();
        Self {
            pool_names: config.pool_names(),
            seat: messages::seat_of(&pair),
            pair,
            holding: BodyHold::new(config.tick_ms, config.decide_within_ms),
            pools,
            reported: Reported::default(),
            passed: Told::default(),
            config,
        }
    }

    pub(crate) fn is_tap(&self) -> bool {
        self.config.role == Role::Tap
    }

    /// Counts an event of a request whose pool is not known yet. The first pool that the request
    /// may belong to counts it.
    #[inline]
    pub(crate) fn count<E: Event>(&self, candidates: PoolSet, event: E) {
        self.count_label(candidates, E::COUNTER, event.label());
    }

    fn count_label(&self, candidates: PoolSet, counter: Counter, label: &'static str) {
        let mut places = candidates.places();
        let first = places.find_map(|place| self.pools.get(place));
        if let Some(pool) = first.or_else(|| self.pools.first()) {
            pool.with(|state| state.metrics.add_to(counter, label, 1));
        }
    }

    /// Counts a hostcall that failed. Returns `None` for it.
    pub(crate) fn checked<T>(&self, result: Result<T, HostError>) -> Option<T> {
        let count = |error| self.count(PoolSet::default(), error);
        result.map_err(count).ok()
    }

    /// Counts a mistake of the setup that a request has met. Logs each kind once.
    pub(crate) fn fault(&self, fault: Fault) {
        self.count(PoolSet::default(), fault);
        if self.reported.is_first(fault) {
            self.log(Level::Warn, &fault.to_string());
        }
    }

    /// Counts a POST with JSON that passes because its path does not fit `paths`. Logs each such
    /// path once.
    pub(crate) fn passes(&self, candidates: PoolSet, shape: &str) {
        self.count(candidates, Passed::Json);
        if self.passed.is_first(shape) {
            let message = format!(
                "a POST with JSON to {shape} is left to the proxy's own balancing: no end in `paths` fits; if models answer there, add it"
            );
            self.log(Level::Warn, &message);
        }
    }

    fn log(&self, level: Level, message: &str) {
        host::log(level, &format!("trimtab {}: {message}", self.pool_names));
    }

    /// Leaves only those pools that the request at hand may belong to, by its headers, its route
    /// and its cluster. Returns `false` if there is none.
    pub(crate) fn find_pools(&self, head: &mut Head) -> bool {
        if self.config.per_route && head.plan != Plan::Pass {
            self.ask_route(head);
        }
        if !head.routed {
            self.ask_cluster(head);
        }
        head.routed || !head.pools.is_empty()
    }

    /// Leaves only the pools whose condition on the cluster holds.
    fn ask_cluster(&self, head: &mut Head) {
        if !config::go_by_cluster(&self.config.pools, head.pools) {
            return;
        }
        let cluster = self.checked(host::property("xds\0cluster_name")).flatten();
        let cluster = cluster.unwrap_or_default();
        head.pools = config::of_cluster(&self.config.pools, head.pools, &cluster);
        if head.pools.is_empty() && head.plan != Plan::Pass {
            self.count(head.pools, Unmatched::Cluster);
            let cluster = String::from_utf8_lossy(&cluster);
            if self.passed.is_first(&cluster) {
                self.log(
                    Level::Info,
                    &format!("requests to cluster {cluster} are left alone: no `clusters` or `services` name it"),
                );
            }
        }
    }

    /// Takes in what the route of the request at hand says.
    fn ask_route(&self, head: &mut Head) {
        head.mode = self.route_mode();
        if let Some(name) = self.checked(route::pool()).flatten() {
            let place = |pool: &config::PoolSettings| pool.name.as_bytes() == name;
            let place = self.config.pools.iter().position(place);
            if place.is_none() {
                self.fault(Fault::RoutePool);
            }
            head.pools = place.map_or_else(PoolSet::default, PoolSet::one);
            head.routed = true;
        }
    }

    /// Returns the mode that the route names. `None`: the route names no known mode.
    fn route_mode(&self) -> Option<Mode> {
        let word = self.checked(route::mode()).flatten()?;
        let mode = Mode::named(&word);
        if mode.is_none() {
            self.fault(Fault::RouteMode);
        }
        mode
    }

    /// Returns the pool of a request and its mode (how much of its traffic is placed). `None`: the
    /// request belongs to no pool.
    ///
    /// - `model`: absent: not known.
    pub(crate) fn pool(&self, head: &Head, model: Option<&[u8]>) -> Option<(&Rc<Pool>, Mode)> {
        let place = match head.routed {
            true => head.pools.places().next(),
            false => config::choose(&self.config.pools, head.pools, model),
        }?;
        self.pool_at(place, head)
    }

    /// Returns the pool of a request that names no model, but something that a server keeps: the
    /// pool of that server. `None`: no server keeps it.
    pub(crate) fn pool_that_keeps(
        &self,
        head: &Head,
        name: Option<Digest>,
    ) -> Option<(&Rc<Pool>, Mode)> {
        let name = name?;
        let keeps = |place: &usize| {
            let pool = self.pools.get(*place);
            pool.is_some_and(|pool| kept_names::keeps(pool, name))
        };
        let place = head.pools.places().find(keeps)?;
        self.pool_at(place, head)
    }

    fn pool_at(&self, place: usize, head: &Head) -> Option<(&Rc<Pool>, Mode)> {
        let mode = head.mode.or(self.config.pools.get(place)?.mode);
        Some((self.pools.get(place)?, mode.unwrap_or(self.config.mode)))
    }

    /// Whether one of these pools has a table. Without a table there is nothing to decide by.
    pub(crate) fn has_table(&self, candidates: PoolSet) -> bool {
        let mut pools = candidates
            .places()
            .filter_map(|place| self.pools.get(place));
        pools.any(|pool| pool.with(|state| state.version()).flatten().is_some())
    }

    /// The plugin is removed or gets another configuration: no more ticks come to this one.
    pub(crate) fn retire(&self) {
        self.holding.retire();
    }

    /// Counts a tick for the requests that wait.
    pub(crate) fn count_tick(&self) {
        self.holding.on_tick();
    }

    /// Lets each pool do what is due on a tick.
    pub(crate) fn on_tick(&self) {
        self.pools.iter().for_each(|pool| sync::on_tick(pool));
    }

    /// Another VM has put something into a queue that this VM registered.
    pub(crate) fn on_queue_ready(&self, queue: u32) {
        let mut pools = self.pools.iter();
        if let Some(pool) = pools.find(|pool| sync::has_queue(pool, queue)) {
            sync::on_queue_ready(pool, queue);
        }
    }

    /// A call-out that this VM made has ended. Each pool knows its own calls.
    pub(crate) fn on_call_response(&self, token: u32, body_bytes: usize) {
        for pool in &self.pools {
            sync::on_call_response(pool, token, body_bytes);
        }
    }
}
