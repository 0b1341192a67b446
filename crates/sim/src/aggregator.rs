//! The aggregator's side: its pool, the newest table, and the polls that wait for the next.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use trimtab_estimate::{Accepted, EndpointSpec, Missed, Pace, Pool, PoolConfig, Sample};
use trimtab_loadtable::{Moved, Report, Table, endpoint_id};
use trimtab_pick::EndpointId;

use crate::clock::{Nanos, duration, nanos};
use crate::server::{Life, Server};
use crate::worker::Arrived;
use crate::{PLACEMENT_KEY, POOL, Scenario};

/// The aggregator's default. The time is longer where three scrapes take longer.
const SUSPECT_AFTER: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Aggregator {
    pool: Pool,
    pace: Pace,
    pub(crate) newest: Option<Arc<Table>>,
    /// The newest table's list of moved conversations.
    moved: Arc<[(u64, EndpointId)]>,
    /// Proxies whose polls wait for a newer table.
    pub(crate) waiting: Vec<usize>,
    /// By proxy, the sequence of its newest report that the newest table has taken in.
    included: HashMap<u64, u64>,
    /// Number and time of the next publication. The event of any other number is ignored: a report
    /// has brought that publication forward.
    pub(crate) planned: (u64, Nanos),
    reporters: usize,
    pub(crate) tables: u64,
    pub(crate) table_bytes: u64,
    pub(crate) reports: u64,
}

impl Aggregator {
    pub(crate) fn new(scenario: &Scenario, seed: u64) -> Self {
        let load_s = scenario
            .fleet
            .first()
            .map(|group| group.profile.adapter_load_s as f32);
        let config = PoolConfig {
            adapter_load_s: load_s,
            suspect_after: duration(nanos(3.0 * scenario.tables.scrape_s)).max(SUSPECT_AFTER),
            ..PoolConfig::new(POOL, seed, PLACEMENT_KEY)
        };
        let proxies = scenario.deciders.count as usize;
        Self {
            pool: Pool::new(config),
            pace: Pace::new(duration(nanos(scenario.tables.publish_s))),
            newest: None,
            moved: Arc::new([]),
            waiting: Vec::new(),
            included: HashMap::new(),
            planned: (0, 0),
            reporters: proxies,
            tables: 0,
            table_bytes: 0,
            reports: 0,
        }
    }

    /// Gives the list of endpoints to the pool, as discovery does.
    pub(crate) fn list(&mut self, now: Nanos, servers: &[Server]) {
        let spec = |server: &Server| EndpointSpec {
            address: server.address.to_string(),
            class: server.class.clone(),
            draining: server.life == Life::Draining,
            ..EndpointSpec::default()
        };
        self.pool
            .set_endpoints(duration(now), servers.iter().map(spec).collect());
    }

    pub(crate) fn on_sample(&mut self, now: Nanos, address: &str, sample: Sample) {
        self.pool.on_sample(duration(now), address, sample);
    }

    pub(crate) fn on_scrape_failed(&mut self, now: Nanos, address: &str, missed: Missed) {
        self.pool.on_scrape_failed(duration(now), address, missed);
    }

    /// Takes in a proxy's report. Returns the time of the next table if the report brings it
    /// forward.
    pub(crate) fn on_report(&mut self, now: Nanos, report: &Report) -> Option<Nanos> {
        self.reports += 1;
        let accepted = self.pool.on_report(duration(now), report).ok()?;
        if accepted != Accepted::Urgent {
            return None;
        }
        let due = (self.pace.due_when_urgent().as_nanos() as Nanos).max(now);
        (due < self.planned.1).then_some(due)
    }

    /// Returns the newest table for the proxy with this number. `at` is the time of its arrival
    /// there.
    pub(crate) fn answer(&self, proxy: u64, at: Nanos) -> Option<Arrived> {
        Some(Arrived {
            table: Arc::clone(self.newest.as_ref()?),
            moved: Arc::clone(&self.moved),
            at,
            report: self.included.get(&proxy).copied(),
        })
    }

    /// Makes the next table, and decodes it from its bytes as a proxy does. Keeps the table back
    /// when it tells too little. Returns the time of the next table, and the proxies that get this
    /// one.
    pub(crate) fn publish(&mut self, now: Nanos) -> (Nanos, Vec<usize>) {
        let table = self.pool.table(duration(now));
        let keeps_back = |last: &Arc<Table>| self.pace.keeps_back(duration(now), last, &table);
        if self.newest.as_ref().is_some_and(keeps_back) {
            self.pace.on_kept_back(duration(now));
            return (self.pace.due().as_nanos() as Nanos, vec![]);
        }
        let bytes = table.encode();
        self.tables += 1;
        self.table_bytes += bytes.len() as u64;
        self.pace
            .on_published(duration(now), bytes.len(), self.reporters);
        // Every proxy would refuse a table that does not decode, and keep the last one.
        if let Ok(table) = Table::decode(&bytes) {
            self.moved = moved(&table);
            self.newest = Some(Arc::new(table));
            self.included = self.pool.included();
        }
        let waiting = std::mem::take(&mut self.waiting);
        (self.pace.due().as_nanos() as Nanos, waiting)
    }
}

/// Returns the moved conversations of a table, with the identities of the endpoints where they
/// went.
fn moved(table: &Table) -> Arc<[(u64, EndpointId)]> {
    let id = |moved: &Moved| {
        let row = table.endpoints.get(usize::from(moved.endpoint))?;
        Some((moved.key, endpoint_id(&table.placement_key, &row.address)))
    };
    let list = table.moved.as_deref().unwrap_or_default();
    list.iter().filter_map(id).collect()
}
