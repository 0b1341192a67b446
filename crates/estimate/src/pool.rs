//! A pool: its endpoints, hardware classes and proxies, and the table made from them.

use crate::claim::Claim;
use crate::config::{EndpointSpec, PoolConfig};
use crate::endpoint::Endpoint;
use crate::found;
use crate::heat::Heat;
use crate::held::Held;
use crate::means::Means;
use crate::missed::Missed;
use crate::moved::MovedList;
use crate::own_speed::{self, OwnSpeed};
use crate::probes::Probes;
use crate::reports::{Accepted, Refusal, Reports};
use crate::rows;
use crate::sample::Sample;
use crate::speed::{ClassSpeed, Speed};
use crate::standing;
use crate::turn::Turn;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;
use trimtab_loadtable::{Report, Table, Version, limits};

mod reporters;
mod told;

/// A report is urgent if it brings this many seconds of prefill to one endpoint.
const URGENT_PREFILL_S: f64 = 0.25;

/// Everything known about one pool. All times are on one clock of the caller.
///
/// ```
/// use std::time::Duration;
/// use trimtab_estimate::{EndpointSpec, Pool, PoolConfig, Sample};
///
/// let mut pool = Pool::new(PoolConfig::new("chat", 7, [0; 16]));
/// let at = Duration::from_secs(1);
/// pool.set_endpoints(at, vec![EndpointSpec { address: "10.0.0.1:8000".into(), ..EndpointSpec::default() }]);
/// pool.on_sample(at, "10.0.0.1:8000", Sample { waiting: Some(2.0), running: Some(8.0), ..Sample::default() });
/// let table = pool.table(at);
/// assert_eq!(table.endpoints[0].waiting, Some(2));
/// ```
#[derive(Debug)]
pub struct Pool {
    config: PoolConfig,
    sequence: u64,
    next_id: u32,
    /// By address, which is the order of rows.
    endpoints: BTreeMap<String, Endpoint>,
    classes: BTreeMap<String, ClassSpeed>,
    /// The speed over all classes.
    common: Speed,
    reports: Reports,
    demand: Means,
    heat: Heat,
    moved: MovedList,
    probes: Probes,
    held: Held,
}

impl Pool {
    /// Makes an empty pool.
    #[must_use]
    pub fn new(config: PoolConfig) -> Self {
        Self {
            config,
            sequence: 0,
            next_id: 0,
            endpoints: BTreeMap::new(),
            classes: BTreeMap::new(),
            common: Speed::default(),
            reports: Reports::default(),
            demand: Means::default(),
            heat: Heat::default(),
            moved: MovedList::default(),
            probes: Probes::default(),
            held: Held::default(),
        }
    }

    /// Returns the settings. [`Self::set_placement_key`] may have changed the key.
    #[must_use]
    pub fn config(&self) -> &PoolConfig {
        &self.config
    }

    /// Replaces the list of endpoints. What is known of those that stay is kept.
    ///
    /// Returns the addresses that were left out: not `ip:port`, listed twice (the first counts), or
    /// beyond [`limits::ENDPOINTS`]. A class or zone is read as unnamed if a table cannot carry its
    /// name, or if there are too many.
    pub fn set_endpoints(&mut self, now: Duration, specs: Vec<EndpointSpec>) -> Vec<String> {
        let mut refused = Vec::new();
        let mut kept = BTreeMap::new();
        let (mut classes, mut zones) = (BTreeSet::new(), BTreeSet::new());
        for mut spec in specs {
            let valid = spec
                .address
                .parse::<SocketAddr>()
                .is_ok_and(|address| address.port() != 0)
                && spec.address.len() <= limits::ADDRESS_BYTES;
            if !valid || kept.contains_key(&spec.address) || kept.len() >= limits::ENDPOINTS {
                refused.push(spec.address);
                continue;
            }
            name(&mut spec.class, &mut classes, limits::CLASSES);
            name(&mut spec.zone, &mut zones, limits::ZONES);
            let address = spec.address.clone();
            let endpoint = match self.endpoints.remove(&address) {
                Some(known) => Endpoint { spec, ..known },
                None => {
                    self.next_id = self.next_id.wrapping_add(1);
                    Endpoint::new(self.next_id, spec, now)
                }
            };
            kept.insert(address, endpoint);
        }
        self.endpoints = kept;
        let listed: BTreeSet<&str> = self
            .endpoints
            .values()
            .map(|endpoint| endpoint.spec.class.as_str())
            .collect();
        self.classes
            .retain(|class, _| listed.contains(class.as_str()));
        refused
    }

    /// Takes in a sample. An address that is not listed is ignored: it was just removed.
    pub fn on_sample(&mut self, now: Duration, address: &str, sample: Sample) {
        self.take_sample(now, None, address, sample);
    }

    /// Takes in a sample that came late and was recorded as missed before.
    ///
    /// The sample is as old as the request for it, `asked_at`. While pages are late, an endpoint is
    /// suspect only when its sample is older than [`PoolConfig::suspect_after`] plus twice the time
    /// that the last page took.
    pub fn on_late_sample(
        &mut self,
        now: Duration,
        asked_at: Duration,
        address: &str,
        sample: Sample,
    ) {
        self.take_sample(now, Some(asked_at), address, sample);
    }

    fn take_sample(
        &mut self,
        now: Duration,
        asked_at: Option<Duration>,
        address: &str,
        sample: Sample,
    ) {
        let Some(endpoint) = self.endpoints.get_mut(address) else {
            return;
        };
        let class = match self.classes.get_mut(&endpoint.spec.class) {
            Some(class) => class,
            None => self.classes.entry(endpoint.spec.class.clone()).or_default(),
        };
        let Some(interval) = endpoint.on_sample(now, asked_at, sample.cleaned(), &mut class.speed)
        else {
            return;
        };
        let prior = rows::prior(&self.config, &endpoint.spec.class);
        self.common
            .compare(now, &interval, prior.relative(), &mut class.seen);
    }

    /// Takes in a failed scrape. The row ages, and turns suspect after
    /// [`PoolConfig::suspect_after_failures`] in a row, unless proxies still get good answers from
    /// the endpoint. If its server answers, single requests try it out.
    pub fn on_scrape_failed(&mut self, now: Duration, address: &str, missed: Missed) {
        if let Some(endpoint) = self.endpoints.get_mut(address) {
            endpoint.on_missed(now, missed);
        }
    }

    /// Takes in a proxy's report. Endpoints that are not listed are ignored.
    ///
    /// # Errors
    /// Returns a [`Refusal`]; then nothing has changed.
    pub fn on_report(&mut self, now: Duration, report: &Report) -> Result<Accepted, Refusal> {
        let turn = self.admit(now, report)?;
        let told = self.told(report);
        self.on_held(&told);
        if turn == Turn::Late {
            self.on_late(now, report.decided, &told);
            self.reports.on_late(report);
            return Ok(Accepted::Late);
        }
        if let Some(decided) = self.reports.decided(report.proxy) {
            let requests = report.decided.saturating_sub(decided);
            self.heat.add(now, requests, requests, told.prefixes);
            self.on_moved(requests, &told, Turn::Newest);
        }
        // The rows in the order of the report, so that each claim finds its endpoint again.
        let mut rows: Vec<&mut Endpoint> = Vec::with_capacity(report.endpoints.len());
        let mut claims = Vec::with_capacity(report.endpoints.len());
        let mut said = report.endpoints.iter().peekable();
        // Both sides are sorted by address, so one pass replaces a look-up for each entry.
        for (address, endpoint) in &mut self.endpoints {
            while said
                .next_if(|entry| entry.address.as_str() < address.as_str())
                .is_some()
            {}
            if let Some(entry) = said.next_if(|entry| entry.address == *address) {
                claims.push(Claim::new(endpoint, entry));
                rows.push(endpoint);
            }
        }
        rows.sort_unstable_by_key(|endpoint| endpoint.id);
        let mut urgent = false;
        let mut rows = rows.into_iter();
        let (classes, config) = (&self.classes, &self.config);
        self.reports
            .replace(now, report, claims, |claim, before, before_at| {
                let Some(endpoint) = rows.next() else { return };
                let Some(before_at) = before_at else {
                    // It is not known when a new proxy sent its requests.
                    claim.begin(now, endpoint);
                    return;
                };
                // A proxy does not list an endpoint until it sends something there.
                let nothing = Claim::default();
                let before = before.unwrap_or(&nothing);
                claim.forward(before, before_at, now, endpoint);
                let more = f64::from(claim.pending_tokens.saturating_sub(before.pending_tokens));
                let prior = rows::prior(config, &endpoint.spec.class);
                // The prior's speed is good enough here, and cheaper than the fit.
                urgent |= classes.contains_key(&endpoint.spec.class)
                    && more >= URGENT_PREFILL_S * prior.prefill_tokens_per_s;
            });
        Ok(if urgent || !told.held.is_empty() {
            Accepted::Urgent
        } else {
            Accepted::Newest
        })
    }

    /// Returns `table`, this pool's newest, as a proxy's first table: with all that endpoints are
    /// known to hold. O(endpoints).
    #[must_use]
    pub fn first(&self, table: &Table) -> Table {
        let row = |endpoint: &trimtab_loadtable::Endpoint| {
            Some(self.endpoints.get(&endpoint.address)?.id)
        };
        let places = table.endpoints.iter().zip(0..);
        let places = places.filter_map(|(endpoint, place)| Some((row(endpoint)?, place)));
        Table {
            held: self.held.all(&places.collect()),
            ..table.clone()
        }
    }

    /// Makes the table as of `now`. Its sequence is one more than the last. Cost: O(endpoints +
    /// proxies).
    pub fn table(&mut self, now: Duration) -> Table {
        self.reports.expire(now, self.config.report_ttl);
        self.sequence = self.sequence.saturating_add(1);
        self.moved.expire(self.sequence);
        self.held.expire(self.sequence);
        let version = Version {
            epoch: self.config.epoch,
            sequence: self.sequence,
        };
        let config = &self.config;
        self.demand.update(
            self.endpoints.values(),
            |endpoint| standing::is_read(endpoint, now, config),
            self.reports.decided_per_s(),
        );
        found::settle(
            self.endpoints
                .values_mut()
                .map(|endpoint| &mut endpoint.found),
        );
        self.settle_speeds();
        self.settle_stalls(now);
        self.probes
            .settle(now, &mut self.endpoints, &self.reports, |endpoint| {
                standing::of(endpoint, now, &self.config).1
            });
        let table = rows::Build {
            now,
            config: &self.config,
            endpoints: &self.endpoints,
            speeds: &self.classes,
            common: &self.common,
            reports: &self.reports,
            means: &self.demand,
            heat: &self.heat,
            moved: &self.moved,
            probes: &self.probes,
            held: &self.held,
        }
        .table(version);
        self.settle(now, &table);
        table
    }

    /// Updates the speed of each endpoint relative to its class, and of each class relative to its
    /// prior.
    fn settle_speeds(&mut self) {
        let mut classes: BTreeMap<&str, Vec<&mut OwnSpeed>> = BTreeMap::new();
        for endpoint in self.endpoints.values_mut() {
            let alike = classes.entry(endpoint.spec.class.as_str()).or_default();
            alike.push(&mut endpoint.speed);
        }
        classes
            .values_mut()
            .for_each(|alike| own_speed::settle(alike));
        let mut seen: Vec<&mut OwnSpeed> = self
            .classes
            .values_mut()
            .map(|class| &mut class.seen)
            .collect();
        own_speed::settle(&mut seen);
    }

    /// Says for each endpoint whether it may count as stalled. It may not:
    ///
    /// - while no proxy has a request there. The gauges of an engine whose requests were all
    ///   cancelled also stand still, until its next step.
    /// - while all requests there have begun to answer and the engine shows none. Clients then read
    ///   slowly.
    fn settle_stalls(&mut self, now: Duration) {
        for endpoint in self.endpoints.values_mut() {
            let flight = self.reports.flight(endpoint.id);
            let is_done = flight.pending == 0 && endpoint.in_engine() == Some(0.0);
            match flight.requests == 0 || is_done {
                true => endpoint.stall.on_idle(now),
                false => endpoint.stall.on_busy(now),
            }
        }
    }

    /// Updates the backlogs with the speeds and pending tokens of the table.
    fn settle(&mut self, now: Duration, table: &Table) {
        for (endpoint, row) in self.endpoints.values_mut().zip(&table.endpoints) {
            let class = row
                .class
                .and_then(|class| table.classes.get(usize::from(class)));
            let speed = class
                .and_then(|class| class.prefill_tokens_per_s)
                .unwrap_or(0.0);
            let own = f64::from(row.prefill_permille.unwrap_or(1_000)) / 1e3;
            let pending = row.pending_tokens.map_or(f64::INFINITY, f64::from);
            endpoint
                .backlog
                .settle(now, f64::from(speed) * own, pending);
        }
    }
}

/// Empties a name that a table cannot carry, or that is one too many.
fn name(name: &mut String, seen: &mut BTreeSet<String>, max: usize) {
    // One place is kept for the unnamed.
    let fits = name.len() <= limits::NAME_BYTES && !name.chars().any(char::is_control);
    let new = !seen.contains(name.as_str());
    if !fits || (new && seen.len() + 1 >= max) {
        name.clear();
    } else if new && !name.is_empty() {
        seen.insert(name.clone());
    }
}
