//! The state of one pool of a plugin in one VM: its picker, its table, its requests in flight. No
//! hostcalls but those of [`Metrics::flush`].

use std::rc::Rc;

use trimtab_loadtable::{Probe, Report, Table, Version};
use trimtab_pick::{Booking, Decision, EndpointId, Millis, Outcome, Picker, Reason, Rng};
use trimtab_report::{Entry, Recent, Reporter, Tally, Unheard};

use crate::config::{Config, Mode};
use crate::facts::{self, BodyFacts, Digest, Head};
use crate::metrics::{Counter, Metrics};
use crate::pool::choice::{Choice, Observed, Placed};
use crate::pool::explain::Explanation;
use crate::pool::outcome;
use crate::pool::searches::Searches;
use crate::pool::sent::Sent;
use crate::pool::table::Loaded;
use crate::sync::long_poll::Sync;
use crate::sync::report_call::ReportCall;

/// The mutable state of one pool of a plugin in one VM.
#[derive(Debug)]
pub(crate) struct PoolState {
    pool: Rc<str>,
    pub(crate) metrics: Metrics,
    pub(crate) tally: Tally,
    pub(crate) reporter: Reporter,
    pub(crate) sync: Sync,
    /// Kinds of problems with the sync that were logged since it last worked.
    pub(crate) sync_problems: Vec<&'static str>,
    /// Version of the table that was in use when the poll under way began.
    pub(crate) asked_with: Option<Version>,
    pub(crate) report_call: ReportCall,
    /// For each of the proxy's last reports, the reports of the workers that it merged. Only the
    /// holder of the lease knows them.
    pub(crate) merged: Recent<Vec<(u64, u64)>>,
    /// What endpoints keep, until the aggregator has answered a report of it. Only the holder of
    /// the lease has it.
    pub(crate) unheard: Unheard,
    pub(crate) searches: Searches,
    pub(crate) rng: Rng,
    /// Numbers of the workers that were alive when the last report was merged. Only the holder of
    /// the lease keeps them.
    pub(crate) awake: Vec<u64>,
    loaded: Option<Loaded>,
    picker: Picker,
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
            tally: Tally::default(),
            reporter: Reporter::default(),
            sync: Sync::new(),
            sync_problems: Vec::new(),
            asked_with: None,
            report_call: ReportCall::default(),
            merged: Recent::default(),
            unheard: Unheard::default(),
            searches: Searches::default(),
            rng: Rng::new(seed),
            awake: Vec::new(),
            loaded: None,
            picker: Picker::new(decision),
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
        let previous = self.picker.snapshot().map(Rc::as_ref);
        let snapshot = Rc::new(loaded.snapshot(previous));
        self.tally.retain(|id| snapshot.index_of(id).is_some());
        for moved in loaded.table.moved.iter().flatten() {
            if let Some(row) = snapshot.endpoints().get(usize::from(moved.endpoint)) {
                self.picker.on_told(arrived_at, moved.key, row.id);
            }
        }
        let epoch = loaded.table.version.epoch;
        if self.version().is_some_and(|before| before.epoch != epoch) {
            self.picker.tell_held_again();
        }
        for held in &loaded.table.held {
            if let Some(row) = snapshot.endpoints().get(usize::from(held.endpoint)) {
                self.picker.on_told_held(arrived_at, held.key, row.id);
            }
        }
        let reported = report.and_then(|number| self.reporter.sends(number));
        self.picker.on_table(snapshot, reported);
        self.loaded = Some(loaded);
    }

    /// Whether there is no table of that aggregator yet.
    pub(crate) fn has_none_of(&self, epoch: u64) -> bool {
        self.version().is_none_or(|have| have.epoch != epoch)
    }

    /// Takes in what a table says about what endpoints keep. The table itself is not adopted.
    pub(crate) fn learn_held(&mut self, table: &Table, arrived_at: Millis) {
        for held in &table.held {
            if let Some(row) = table.endpoints.get(usize::from(held.endpoint)) {
                let id = trimtab_loadtable::endpoint_id(&table.placement_key, &row.address);
                self.picker.on_told_held(arrived_at, held.key, id);
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
        let rows = self.picker.snapshot().map(|snapshot| snapshot.endpoints());
        let row = rows.and_then(|rows| rows.get(usize::from(probe.endpoint)));
        if let Some(id) = row.map(|row| row.id) {
            self.picker.probe_next(id);
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
        self.tally.on_decided();
        let Some(loaded) = &self.loaded else {
            let decision = Decision::no_opinion(Reason::NoTable);
            let explain = || self.explain(&decision, now, None, config, head, body);
            return Placed {
                reason: Some(decision.reason),
                placement: None,
                explanation: (head.explain || config.explain_log).then(explain),
            };
        };
        let request = facts::request(head, body, loaded.key, &loaded.table);
        let decision = self.picker.choose(now, &mut self.rng, &request);
        self.reporter.on_decided(&decision.booking);
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
            self.metrics.count(Counter::Observed, "unlisted");
            return (None, None);
        };
        let wait_s = self.picker.wait_s(endpoint);
        let same = endpoint == observed.endpoint;
        let label = if same { "same" } else { "other" };
        self.metrics.count(Counter::Observed, label);
        if let (Some(own_s), Some(its_s)) = (observed.wait_s, wait_s) {
            for (choice, wait_s) in [("trimtab", own_s), ("proxy", its_s)] {
                // `as` from float saturates, and no wait is negative.
                let ms = (wait_s * 1_000.0) as u64;
                self.metrics.add(Counter::ObservedWaits, choice, ms);
            }
        }
        let sent = self.book(
            now,
            endpoint,
            &address.into(),
            booking,
            observed.is_counted.then_some(true),
        );
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
        let (endpoint, address) = (placement.endpoint, &placement.address);
        let report = placement.is_counted.then_some(placement.is_whole);
        let sent = self.book(now, endpoint, address, &placement.booking, report);
        let is_large = sent.ticket.is_large();
        (sent, is_large)
    }

    /// Books a request.
    ///
    /// - `is_whole`: as in [`Tally::on_sent`]; absent: reports do not count the request.
    fn book(
        &mut self,
        now: Millis,
        endpoint: EndpointId,
        address: &Rc<str>,
        booking: &Booking,
        is_whole: Option<bool>,
    ) -> Sent {
        let ticket = self.picker.on_sent(now, endpoint, booking);
        let tokens = ticket.uncached_tokens();
        let entry =
            is_whole.and_then(|is_whole| self.tally.on_sent(endpoint, address, tokens, is_whole));
        Sent {
            ticket,
            address: Rc::clone(address),
            entry,
        }
    }

    /// All of the request's body has gone out.
    pub(crate) fn on_whole(&mut self, sent: &mut Sent) {
        if let Some(entry) = &mut sent.entry {
            self.tally.on_whole(entry);
        }
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
        let is_whole = sent.entry.as_ref().map(Entry::is_whole);
        self.on_done(sent, true);
        let endpoint = self.listed(address)?;
        Some(self.book(now, endpoint, &address.into(), booking, is_whole))
    }

    /// The prompt has `tokens` more tokens than expected. Returns whether the others should know of
    /// it at once.
    pub(crate) fn on_grown(
        &mut self,
        now: Millis,
        sent: &mut Sent,
        booking: &Booking,
        tokens: u32,
    ) -> bool {
        if !sent.ticket.is_pending() {
            return false;
        }
        if let Some(entry) = &mut sent.entry {
            self.tally.on_grown(entry, tokens);
        }
        self.picker.on_grown(now, &mut sent.ticket, booking, tokens)
    }

    /// The answer turns out to be streamed.
    pub(crate) fn on_streamed(&mut self, sent: &mut Sent, booking: &mut Booking) {
        self.picker.on_streamed(&mut sent.ticket, booking);
    }

    /// The content of the answer has begun, so prefill is finished.
    pub(crate) fn on_first_byte(&mut self, now: Millis, sent: &mut Sent) {
        self.picker.on_first_byte(now, &mut sent.ticket);
        if let Some(entry) = &mut sent.entry {
            self.tally.on_first_byte(entry);
        }
    }

    /// Takes in how the request went, as far as that says something about its endpoint.
    pub(crate) fn on_outcome(&mut self, now: Millis, sent: &mut Sent, outcome: Outcome) {
        let is_out = self.picker.on_outcome(now, &mut sent.ticket, outcome);
        if let Some(kind) = outcome::kind(outcome).filter(|_| is_out) {
            self.metrics.count(Counter::Ejections, kind.as_str());
        }
    }

    /// The server that the request went to keeps something under `name`.
    pub(crate) fn on_held(&mut self, now: Millis, sent: &Sent, name: Digest) {
        if let Some(loaded) = &self.loaded {
            let key = loaded.key.seal(name);
            self.picker.on_held(now, key, sent.ticket.endpoint());
        }
    }

    /// Whether this worker knows which server keeps something under `name`. Also `true` without a
    /// table.
    pub(crate) fn knows_held(&self, now: Millis, name: Digest) -> bool {
        let loaded = self.loaded.as_ref();
        loaded.is_none_or(|loaded| self.picker.knows_held(now, loaded.key.seal(name)))
    }

    /// Another worker says that the server at `address` keeps something under `name`.
    pub(crate) fn on_told_held(&mut self, now: Millis, name: Digest, address: &str) {
        let endpoint = self.listed(address);
        if let Some((loaded, endpoint)) = self.loaded.as_ref().zip(endpoint) {
            let key = loaded.key.seal(name);
            self.picker.on_told_held(now, key, endpoint);
        }
    }

    /// The request ended.
    pub(crate) fn on_done(&mut self, sent: Sent, failed: bool) {
        self.picker.on_done(sent.ticket);
        if let Some(entry) = sent.entry {
            self.tally.on_done(entry, failed);
        }
    }

    /// Returns this worker's report at this moment, and the number of its lists. `me`, `taken`: see
    /// [`Reporter::write`].
    pub(crate) fn report(&mut self, pool: &str, me: u64, taken: u64) -> (u64, Report) {
        let (tally, picker) = (&mut self.tally, &mut self.picker);
        self.reporter.write(pool, me, taken, tally, picker)
    }
}

#[cfg(test)]
mod tests;
