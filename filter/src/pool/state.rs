//! The state of one pool of a plugin in one VM: its table, and the books of its requests. No
//! hostcalls but those of [`Metrics::flush`].

use std::rc::Rc;

use trimtab_loadtable::{Probe, Table, Version};
use trimtab_pick::{Booking, Decision, EndpointId, Millis, Outcome, Picker, Reason, Rng};
use trimtab_report::{Books, Counted, Outgoing, Sent};

use crate::config::{Config, Mode};
use crate::facts::{self, BodyFacts, Digest, Head};
use crate::metrics::{self, Metrics, ObservedWaits};
use crate::pool::choice::{Choice, Observed, Placed};
use crate::pool::explain::Explanation;
use crate::pool::outcome;
use crate::pool::searches::Searches;
use crate::pool::table::Loaded;
use crate::sync::long_poll::Sync;
use crate::sync::pacing::Pacing;
use crate::sync::report_call::ReportCall;

/// The mutable state of one pool of a plugin in one VM.
#[derive(Debug)]
pub(crate) struct PoolState {
    pool: Rc<str>,
    pub(crate) metrics: Metrics,
    pub(crate) books: Books,
    pub(crate) pacing: Pacing,
    pub(crate) sync: Sync,
    /// Kinds of problems with the sync that were logged since it last worked.
    pub(crate) sync_problems: Vec<&'static str>,
    /// Version of the table that was in use when the poll under way began.
    pub(crate) asked_with: Option<Version>,
    pub(crate) report_call: ReportCall,
    /// The proxy's reports that went out. Only the holder of the lease has them.
    pub(crate) outgoing: Outgoing,
    pub(crate) searches: Searches,
    pub(crate) rng: Rng,
    /// Numbers of the workers that were alive when the last report was merged. Only the holder of
    /// the lease keeps them.
    pub(crate) awake: Vec<u64>,
    loaded: Option<Loaded>,
}

impl PoolState {
    pub(crate) fn new(config: &Config, pool: &str, seed: u64) -> Self {
        let decision = trimtab_pick::Config {
            table_max_age_ms: config.table_max_age_ms,
            max_ejection_ms: config.max_ejection_ms,
        };
        Self {
            metrics: Metrics::new(config.metric_names, pool),
            pool: pool.into(),
            books: Books::new(Picker::new(decision)),
            pacing: Pacing::default(),
            sync: Sync::new(),
            sync_problems: Vec::new(),
            asked_with: None,
            report_call: ReportCall::default(),
            outgoing: Outgoing::default(),
            searches: Searches::default(),
            rng: Rng::new(seed),
            awake: Vec::new(),
            loaded: None,
        }
    }

    pub(crate) fn loaded(&self) -> Option<&Loaded> {
        self.loaded.as_ref()
    }

    pub(crate) fn version(&self) -> Option<Version> {
        self.loaded.as_ref().map(|loaded| loaded.table.version)
    }

    /// Adopts a table.
    ///
    /// - `report`: this worker's newest report that the table has taken in; absent: not known.
    pub(crate) fn adopt(&mut self, table: Table, arrived_at: Millis, report: Option<u64>) {
        let loaded = Loaded::new(table, arrived_at);
        let previous = self.books.picker().snapshot().map(Rc::as_ref);
        let snapshot = Rc::new(loaded.snapshot(previous));
        let is_of_another = |before: Version| before.epoch != loaded.table.version.epoch;
        let is_of_another = self.version().is_some_and(is_of_another);
        let picker = self.books.picker_mut();
        for moved in loaded.table.moved.iter().flatten() {
            if let Some(row) = snapshot.endpoints().get(usize::from(moved.endpoint)) {
                picker.on_told(arrived_at, moved.key, row.id);
            }
        }
        if is_of_another {
            picker.tell_held_again();
        }
        for held in &loaded.table.held {
            if let Some(row) = snapshot.endpoints().get(usize::from(held.endpoint)) {
                picker.on_told_held(arrived_at, held.key, row.id);
            }
        }
        let reported = report.and_then(|number| self.books.sends(number));
        self.books.on_table(snapshot, reported);
        self.loaded = Some(loaded);
    }

    /// Whether there is no table of that aggregator yet.
    pub(crate) fn has_none_of(&self, epoch: u64) -> bool {
        self.version().is_none_or(|have| have.epoch != epoch)
    }

    /// Takes in what a table says about what endpoints keep. The table itself is not adopted.
    pub(crate) fn learn_held(&mut self, table: &Table, arrived_at: Millis) {
        let picker = self.books.picker_mut();
        for held in &table.held {
            if let Some(row) = table.endpoints.get(usize::from(held.endpoint)) {
                let id = trimtab_loadtable::endpoint_id(&table.placement_key, &row.address);
                picker.on_told_held(arrived_at, held.key, id);
            }
        }
    }

    /// Whether the table asks any proxy to probe an endpoint.
    pub(crate) fn is_asked_to_probe(&self) -> bool {
        let loaded = self.loaded.as_ref();
        loaded.is_some_and(|loaded| !loaded.table.probes.is_empty())
    }

    /// Returns what the table asks this proxy to probe, and the table's epoch.
    pub(crate) fn probe_of(&self, proxy: u64) -> Option<(u64, Probe)> {
        let table = &self.loaded.as_ref()?.table;
        let probe = table.probes.iter().find(|probe| probe.proxy == proxy)?;
        Some((table.version.epoch, *probe))
    }

    /// Lets the next request try the endpoint of `probe`.
    pub(crate) fn probe_next(&mut self, probe: &Probe) {
        let picker = self.books.picker_mut();
        let rows = picker.snapshot().map(|snapshot| snapshot.endpoints());
        let row = rows.and_then(|rows| rows.get(usize::from(probe.endpoint)));
        if let Some(id) = row.map(|row| row.id) {
            picker.probe_next(id);
        }
    }

    /// Decides on one request.
    ///
    /// - `body`: what was read of the body; absent: nothing.
    pub(crate) fn place(
        &mut self,
        now: Millis,
        config: &Config,
        mode: Mode,
        head: &Head,
        body: Option<&BodyFacts>,
    ) -> Placed {
        let Some(loaded) = &self.loaded else {
            self.books.on_undecided();
            let decision = Decision::no_opinion(Reason::NoTable);
            let explain = || self.explain(&decision, now, None, config, head, body);
            return Placed {
                reason: Some(decision.reason),
                placement: None,
                explanation: (head.explain || config.explain_log).then(explain),
            };
        };
        let request = facts::request(head, body, loaded.key, &loaded.table);
        let decision = self.books.choose(now, &mut self.rng, &request);
        let draw = request.conversation.map(|conversation| conversation.key);
        let observed =
            mode != Mode::Enforce && !mode.enforces(draw.unwrap_or_else(|| self.rng.next_u64()));
        let placement = Choice::new(
            loaded,
            &decision,
            config.max_hosts,
            request.streams == Some(true),
            observed,
        );
        let explain = || self.explain(&decision, now, placement.as_ref(), config, head, body);
        Placed {
            reason: Some(decision.reason),
            explanation: (head.explain || config.explain_log).then(explain),
            placement,
        }
    }

    fn explain(
        &self,
        decision: &Decision,
        now: Millis,
        placement: Option<&Choice>,
        config: &Config,
        head: &Head,
        body: Option<&BodyFacts>,
    ) -> Box<Explanation> {
        let loaded = self.loaded.as_ref();
        Box::new(Explanation {
            reason: decision.reason.as_str(),
            endpoint: placement.map(|placement| Rc::clone(&placement.address)),
            wait_s: decision.wait_s,
            candidates: decision.candidates,
            left_out: decision.left_out,
            table: loaded.map(|loaded| (loaded.table.version, loaded.age_ms(now))),
            pool: (config.pools.len() > 1).then(|| Rc::clone(&self.pool)),
            facts: facts::explain(head, body),
            observed: placement
                .is_some_and(|placement| placement.observed)
                .then_some(None),
        })
    }

    /// The proxy has sent an observed request to `address` by itself. Compares this with the
    /// filter's choice, and keeps books of the request. Returns also the wait in seconds that was
    /// predicted there.
    pub(crate) fn on_observed(
        &mut self,
        now: Millis,
        observed: Observed,
        address: &str,
        booking: &Booking,
    ) -> (Option<Sent>, Option<f64>) {
        let Some(endpoint) = self.listed(address) else {
            self.metrics.count(metrics::Observed::Unlisted);
            return (None, None);
        };
        let wait_s = self.books.picker().wait_s(endpoint);
        self.metrics.count(match endpoint == observed.endpoint {
            true => metrics::Observed::Same,
            false => metrics::Observed::Other,
        });
        if let (Some(own_s), Some(its_s)) = (observed.wait_s, wait_s) {
            let own = (ObservedWaits::Trimtab, own_s);
            for (choice, wait_s) in [own, (ObservedWaits::Proxy, its_s)] {
                // `as` from float saturates, and no wait is negative.
                let ms = (wait_s * 1_000.0) as u64;
                self.metrics.add(choice, ms);
            }
        }
        let counted = match observed.is_counted {
            true => Counted::Whole,
            false => Counted::No,
        };
        let address = address.into();
        let sent = self
            .books
            .on_sent(now, endpoint, &address, booking, counted);
        (Some(sent), wait_s)
    }

    /// Returns the endpoint of that address. `None`: the table does not have it.
    fn listed(&self, address: &str) -> Option<EndpointId> {
        let table = &self.loaded.as_ref()?.table;
        let rows = &table.endpoints;
        rows.binary_search_by(|row| row.address.as_str().cmp(address))
            .ok()?;
        Some(trimtab_loadtable::endpoint_id(
            &table.placement_key,
            address,
        ))
    }

    /// The request goes to the first of its hosts. Returns also whether the others should know of
    /// it at once.
    pub(crate) fn on_sent(&mut self, now: Millis, placement: &Choice) -> (Sent, bool) {
        let counted = match (placement.is_counted, placement.is_whole) {
            (false, _) => Counted::No,
            (true, false) => Counted::Coming,
            (true, true) => Counted::Whole,
        };
        let (endpoint, address) = (placement.endpoint, &placement.address);
        let sent = self
            .books
            .on_sent(now, endpoint, address, &placement.booking, counted);
        let is_large = sent.ticket().is_large();
        (sent, is_large)
    }

    /// The request went elsewhere: a retry, or a host that the proxy would not use. Returns `None`
    /// if the table does not have `address`; then there are no books to keep.
    pub(crate) fn on_rerouted(
        &mut self,
        now: Millis,
        sent: Sent,
        address: &str,
        booking: &Booking,
    ) -> Option<Sent> {
        let endpoint = self.listed(address);
        let address = address.into();
        let to = endpoint.map(|endpoint| (endpoint, &address));
        self.books.on_rerouted(now, sent, to, booking)
    }

    /// Takes in how the request went, as far as that says something about its endpoint.
    pub(crate) fn on_outcome(&mut self, now: Millis, sent: &mut Sent, outcome: Outcome) {
        let is_out = self.books.on_outcome(now, sent, outcome);
        if let Some(kind) = outcome::kind(outcome).filter(|_| is_out) {
            self.metrics.count(kind);
        }
    }

    /// The server that the request went to keeps something under `name`.
    pub(crate) fn on_held(&mut self, now: Millis, sent: &Sent, name: Digest) {
        if let Some(loaded) = &self.loaded {
            let (key, endpoint) = (loaded.key.seal(name), sent.ticket().endpoint());
            self.books.picker_mut().on_held(now, key, endpoint);
        }
    }

    /// Whether this worker knows which server keeps something under `name`. Also `true` without a
    /// table.
    pub(crate) fn knows_held(&self, now: Millis, name: Digest) -> bool {
        let loaded = self.loaded.as_ref();
        let picker = self.books.picker();
        loaded.is_none_or(|loaded| picker.knows_held(now, loaded.key.seal(name)))
    }

    /// Another worker says that the server at `address` keeps something under `name`.
    pub(crate) fn on_told_held(&mut self, now: Millis, name: Digest, address: &str) {
        let endpoint = self.listed(address);
        if let Some((loaded, endpoint)) = self.loaded.as_ref().zip(endpoint) {
            let key = loaded.key.seal(name);
            self.books.picker_mut().on_told_held(now, key, endpoint);
        }
    }
}

#[cfg(test)]
mod tests;
