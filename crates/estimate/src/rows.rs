//! Makes the rows of a table from what is remembered.

use crate::config::PoolConfig;
use crate::cost;
use crate::endpoint::Endpoint;
use crate::flight::Flight;
use crate::heat::Heat;
use crate::held::Held;
use crate::means::Means;
use crate::memory;
use crate::moved::MovedList;
use crate::prior::Prior;
use crate::probes::Probes;
use crate::reports::Reports;
use crate::sample::Sample;
use crate::speed::{ClassSpeed, Speed};
use crate::standing;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;
use trimtab_loadtable::{Class, Demand, Endpoint as Row, State, Table, Version, limits};

/// Uncached prompt tokens and output tokens of a request, before any were seen. They are only used
/// here; the table has them as absent.
const UNKNOWN_PROMPT_TOKENS: f64 = 512.0;
const UNKNOWN_OUTPUT_TOKENS: f64 = 256.0;

/// A cache that keeps unused blocks for this many seconds counts as holding everything that was
/// sent there.
const KEPT_LONG_S: f64 = 30.0;

pub(crate) fn prior(config: &PoolConfig, class: &str) -> Prior {
    Prior::of_class(class, &config.priors)
}

/// What the rows need of one class.
struct Costs {
    index: u16,
    prefill_tokens_per_s: f64,
}

impl Costs {
    /// Returns the same with the endpoint's own speed.
    fn of(&self, endpoint: &Endpoint) -> Self {
        Self {
            prefill_tokens_per_s: self.prefill_tokens_per_s
                * endpoint.speed.prefill_ratio.unwrap_or(1.0),
            ..*self
        }
    }
}

fn permille(ratio: Option<f64>) -> Option<u32> {
    ratio.map(|ratio| whole(ratio * 1_000.0).max(1))
}

/// Everything from which a table is made.
pub(crate) struct Build<'a> {
    pub(crate) now: Duration,
    pub(crate) config: &'a PoolConfig,
    pub(crate) endpoints: &'a BTreeMap<String, Endpoint>,
    pub(crate) speeds: &'a BTreeMap<String, ClassSpeed>,
    pub(crate) common: &'a Speed,
    pub(crate) reports: &'a Reports,
    pub(crate) means: &'a Means,
    pub(crate) heat: &'a Heat,
    pub(crate) moved: &'a MovedList,
    pub(crate) probes: &'a Probes,
    pub(crate) held: &'a Held,
}

impl<'a> Build<'a> {
    pub(crate) fn table(&self, version: Version) -> Table {
        let (classes, costs) = self.classes();
        let adapters = self.adapters();
        let heard = self.reports.deciders();
        let mut resident_left = limits::RESIDENT_ADAPTERS;
        let rows = self.endpoints.values().map(|endpoint| {
            let flight = heard.map(|_| self.reports.flight(endpoint.id));
            let costs = costs.get(endpoint.spec.class.as_str());
            let mut row = self.row(endpoint, costs, flight);
            row.in_flight = flight.map(|flight| clipped(flight.requests));
            row.pending_tokens = flight.map(|flight| clipped(flight.pending_tokens));
            row.adapters = indices(endpoint, &adapters).filter(|list| list.len() <= resident_left);
            resident_left -= row.adapters.as_ref().map_or(0, Vec::len);
            row
        });
        let places = self.places();
        Table {
            pool: self.config.name.clone(),
            version,
            age_ms: 0,
            deciders: heard,
            demand: self.demand(),
            placement_key: self.config.placement_key,
            endpoints: rows.collect(),
            classes,
            adapters: adapters.into_iter().map(str::to_owned).collect(),
            // Without reports nothing is known of it.
            heat: heard.map(|_| self.heat.list(self.endpoints.len())),
            moved: heard.map(|_| self.moved.list(&places)),
            probes: self.probes.list(|id| places.get(&id).copied()),
            held: self.held.late(&places),
        }
    }

    /// Returns the row of each endpoint by its id.
    fn places(&self) -> HashMap<u32, u16> {
        let ids = self.endpoints.values().map(|endpoint| endpoint.id);
        ids.zip(0..).collect()
    }

    fn demand(&self) -> Demand {
        let rate = |value: Option<f64>| {
            value.map(|value| value.clamp(0.0, f64::from(limits::RATE)) as f32)
        };
        Demand {
            arrival_rate: rate(self.means.arrivals_per_s),
            prompt_tokens: rate(self.means.prompt_tokens),
            uncached_tokens: rate(self.means.uncached_tokens),
            output_tokens: rate(self.means.output_tokens),
            adapter_load_s: self.config.adapter_load_s,
        }
    }

    /// Returns the classes in use and their costs. A class's speed is relative to the slowest: the
    /// seconds of work of a mean request there, over those here.
    fn classes(&self) -> (Vec<Class>, HashMap<&'a str, Costs>) {
        let names: BTreeSet<&str> = self
            .endpoints
            .values()
            .map(|e| e.spec.class.as_str())
            .collect();
        let uncached = self.uncached_tokens();
        let output = self.means.output_tokens.unwrap_or(UNKNOWN_OUTPUT_TOKENS);
        let (mut costs, mut work_s) = (HashMap::new(), Vec::new());
        let unseen = ClassSpeed::default();
        for (index, class) in (0..u16::MAX).zip(&names) {
            let class_speed = self.speeds.get(*class).unwrap_or(&unseen);
            let prior = class_speed.assumed(self.now, self.common, &prior(self.config, class));
            let speed = &class_speed.speed;
            let prefill_tokens_per_s = speed.prefill_tokens_per_s(self.now, &prior);
            let decode_s = cost::decode_s(output, speed.itl_s_per_sequence(self.now, &prior));
            work_s.push((
                *class,
                cost::prefill_s(uncached, prefill_tokens_per_s) + decode_s,
                prefill_tokens_per_s,
                decode_s,
            ));
            costs.insert(
                *class,
                Costs {
                    index,
                    prefill_tokens_per_s,
                },
            );
        }
        let slowest = work_s
            .iter()
            .map(|(_, work_s, ..)| *work_s)
            .fold(0.0, f64::max);
        let class = |(name, work_s, prefill, decode_s): (&str, f64, f64, f64)| Class {
            name: name.to_owned(),
            prefill_tokens_per_s: Some(prefill as f32),
            decode_s_per_sequence: Some(decode_s.min(f64::from(limits::COST_S)) as f32),
            speed: (work_s > 0.0).then(|| (slowest / work_s) as f32),
        };
        (work_s.into_iter().map(class).collect(), costs)
    }

    /// Returns the adapters that are resident at some endpoint, sorted, as many as a table takes.
    fn adapters(&self) -> Vec<&'a str> {
        let names: BTreeSet<&str> = self
            .endpoints
            .values()
            .filter_map(|e| e.resident.as_ref())
            .flatten()
            .map(String::as_str)
            .collect();
        names.into_iter().take(limits::ADAPTERS).collect()
    }

    fn uncached_tokens(&self) -> f64 {
        self.means.uncached_tokens.unwrap_or(UNKNOWN_PROMPT_TOKENS)
    }

    fn row(&self, endpoint: &Endpoint, costs: Option<&Costs>, flight: Option<Flight>) -> Row {
        let (state, doubt) = standing::of(endpoint, self.now, self.config);
        let is_shown = state != State::Ready || self.is_trusted(endpoint);
        let (waiting, running) = match is_shown {
            true => endpoint.forwarded(),
            false => (None, None),
        };
        let sample = endpoint.sample.as_ref().map(|(_, sample)| sample);
        let costs = costs.map(|costs| costs.of(endpoint));
        let costs = costs.as_ref();
        let output_tokens = self.means.output_tokens.unwrap_or(UNKNOWN_OUTPUT_TOKENS);
        let ends_per_s =
            running.and_then(|running| endpoint.turnover.ends_per_s(running, output_tokens));
        // Where the batch limit is known, requests wait too that proxies have sent and the server
        // does not show yet.
        let in_line = endpoint.batch_limit().and(flight).zip(running);
        let behind = |waiting: f64| match in_line {
            Some((flight, running)) => waiting.max(flight.pending as f64 - running),
            None => waiting,
        };
        let wait_s = waiting
            // If the page does not say what runs, the batch may be full.
            .zip(running)
            .zip(costs)
            .map(|((waiting, running), costs)| {
                let prefill_s = match flight {
                    Some(flight) => self.reported_s(endpoint, waiting, &flight, costs),
                    None => {
                        self.queued_s(endpoint, waiting, self.uncached_tokens(), costs)
                            + self.busy_s(endpoint, costs)
                    }
                };
                prefill_s.max(memory::queue_s(
                    endpoint,
                    (behind(waiting), running),
                    output_tokens,
                ))
            });
        // For a ready endpoint that shows no gauges, the wait is that of what proxies have there.
        let is_unshown = state == State::Ready && waiting.is_none() && running.is_none();
        let unshown_s = flight
            .as_ref()
            .zip(costs)
            .filter(|_| is_unshown)
            .map(|(flight, costs)| self.reported_s(endpoint, 0.0, flight, costs));
        let count = |value: Option<f64>| value.map(whole);
        Row {
            address: endpoint.spec.address.clone(),
            role: endpoint.spec.role,
            state,
            doubt,
            class: costs.map(|costs| costs.index),
            age_ms: whole(self.age(endpoint).as_secs_f64() * 1_000.0),
            wait_ms: wait_s.or(unshown_s).map(|wait_s| whole(wait_s * 1_000.0)),
            waiting: count(waiting.map(behind)),
            running: count(running),
            kv_used: sample
                .filter(|_| is_shown)
                .and_then(|s| s.kv_used)
                .map(|used| used as f32),
            prefill_busy: endpoint.busy.filter(|_| is_shown),
            adapter_room: sample.and_then(adapter_room),
            in_flight: None,
            pending_tokens: None,
            kv_blocks: count(sample.and_then(|s| s.kv_blocks)),
            kv_block_tokens: count(sample.and_then(|s| s.kv_block_tokens)),
            batch_limit: count(endpoint.batch_limit()),
            ends_per_1000_s: ends_per_s.map(|ends| whole(ends * 1_000.0)),
            found_permille: self
                .found_share(endpoint)
                .map(|share| whole(share * 1_000.0)),
            prefill_permille: permille(endpoint.speed.prefill_ratio),
            decode_permille: permille(endpoint.speed.decode_ratio),
            adapters: None,
            zone: endpoint.spec.zone.as_str().into(),
        }
    }

    /// Whether the endpoint's gauges may be shown.
    fn is_trusted(&self, endpoint: &Endpoint) -> bool {
        let in_flight = self.reports.flight(endpoint.id).requests;
        standing::is_trusted(endpoint, in_flight, self.now, self.config)
    }

    /// Returns the share found of what was expected in the endpoint's cache. Only for caches so
    /// small that they soon lose unused blocks. In larger caches missing tokens were never cached,
    /// so the share would say nothing about the tokens that are there.
    fn found_share(&self, endpoint: &Endpoint) -> Option<f64> {
        let sample = &endpoint.sample.as_ref()?.1;
        let tokens = sample.kv_blocks? * sample.kv_block_tokens?;
        let free = tokens * (1.0 - sample.kv_used?);
        let new_tokens =
            self.uncached_tokens() + self.means.output_tokens.unwrap_or(UNKNOWN_OUTPUT_TOKENS);
        let kept_s = free / (endpoint.work.ends.per_s()? * new_tokens).max(1.0);
        endpoint.found.share().filter(|_| kept_s < KEPT_LONG_S)
    }

    /// Returns the seconds of prefill ahead: of what proxies have sent, and of requests that no
    /// proxy sent. The latter came by another way, or their reports were lost.
    fn reported_s(&self, endpoint: &Endpoint, waiting: f64, flight: &Flight, costs: &Costs) -> f64 {
        let pending_tokens = flight.pending_tokens as f64;
        // Requests that the server still shows in its queue have not begun, whatever the speed
        // says.
        let queued = (waiting / (flight.pending as f64).max(1.0)).min(1.0) * pending_tokens;
        let tokens = endpoint.backlog.left(self.now, pending_tokens).max(queued);
        let strangers = (waiting - flight.pending as f64).max(0.0);
        let stranger_tokens = self.uncached_tokens().max(UNKNOWN_PROMPT_TOKENS);
        let late_s = match &endpoint.sample {
            // Only with a queue: without one, the first byte of a whole answer may come late for
            // another reason.
            Some((_, sample)) if sample.waiting > Some(0.0) => {
                endpoint.backlog.late_s(self.now, pending_tokens)
            }
            _ => 0.0,
        };
        cost::prefill_s(tokens, costs.prefill_tokens_per_s)
            + self.queued_s(endpoint, strangers, stranger_tokens, costs)
            + late_s
    }

    /// Returns the mean seconds that are left of the prompt in prefill.
    fn busy_s(&self, endpoint: &Endpoint, costs: &Costs) -> f64 {
        let mean = self.uncached_tokens();
        let square = self.means.square_ratio.map(|ratio| ratio * mean * mean);
        match endpoint.busy {
            Some(true) => cost::residual_s(mean, square, costs.prefill_tokens_per_s),
            _ => 0.0,
        }
    }

    /// Returns the seconds of prefill in the queue. An engine's own count of queued tokens is
    /// scaled by how the queue has changed since the scrape.
    fn queued_s(&self, endpoint: &Endpoint, waiting: f64, mean: f64, costs: &Costs) -> f64 {
        let per_request_s = cost::prefill_s(mean, costs.prefill_tokens_per_s);
        let Some((_, sample)) = &endpoint.sample else {
            return waiting * per_request_s;
        };
        match sample.queued_tokens.zip(sample.waiting) {
            Some((tokens, scraped)) => {
                let left = if scraped > 0.0 {
                    tokens * (waiting / scraped).min(1.0)
                } else {
                    tokens
                };
                cost::prefill_s(left, costs.prefill_tokens_per_s)
                    + (waiting - scraped).max(0.0) * per_request_s
            }
            None => waiting * per_request_s,
        }
    }

    /// Returns the age of a row. A row that reports moved forward is as old as its scrape or, on
    /// average, as the reports, whichever is less.
    ///
    /// All pickers get the same table, so its age cannot be right for each. A picker that knows
    /// which of its own reports the table has taken in does not use it. Mean waits in a simulation
    /// (16 endpoints at 85 % load, proxies of 2 workers):
    ///
    /// | proxies | this age | each proxy's own age | rows not moved |
    /// |---|---|---|---|
    /// | 4 | 230 ms | 228 ms | 236 ms |
    /// | 32 | 265 ms | 267 ms | 283 ms |
    fn age(&self, endpoint: &Endpoint) -> Duration {
        let scraped = endpoint.age(self.now);
        let (state, _) = standing::of(endpoint, self.now, self.config);
        if state == State::Suspect {
            return scraped;
        }
        self.reports
            .mean_age(self.now)
            .map_or(scraped, |reported| scraped.min(reported))
    }
}

fn indices(endpoint: &Endpoint, adapters: &[&str]) -> Option<Vec<u16>> {
    let resident = endpoint.resident.as_ref()?;
    let index = |name: &String| {
        adapters
            .binary_search(&name.as_str())
            .ok()
            .and_then(|index| u16::try_from(index).ok())
    };
    let mut list: Vec<u16> = resident.iter().filter_map(index).collect();
    list.sort_unstable();
    list.dedup();
    Some(list)
}

/// Whether there are more slots than adapters that run or are waited for. `None`: the server does
/// not report its slots.
fn adapter_room(sample: &Sample) -> Option<bool> {
    let adapters = sample.adapters.as_ref()?;
    let coming = |name: &&String| !adapters.running.contains(name);
    let wanted: BTreeSet<&String> = adapters.waiting.iter().filter(coming).collect();
    Some(adapters.running.len() + wanted.len() < adapters.slots? as usize)
}

/// Rounds, and clips to what a row can hold. `as` saturates and makes 0 of NaN.
fn whole(value: f64) -> u32 {
    (libm::round(value) as u32).min(limits::ROW_VALUE)
}

fn clipped(value: u64) -> u32 {
    u32::try_from(value).map_or(limits::ROW_VALUE, |value| value.min(limits::ROW_VALUE))
}
