//! One plugin in one VM: its decider, its table, its requests in flight. No hostcalls but those of [`Metrics::flush`].

use std::rc::Rc;

use trimtab_loadtable::{Report, Table, Version};
use trimtab_pick::{Decision, EndpointId, Millis, Outcome, Picker, Reason, Request, Rng, Ticket};

use crate::config::{Config, Mode};
use crate::explain::Explanation;
use crate::facts::{self, BodyFacts, Head};
use crate::marks::Marks;
use crate::metrics::{Counter, Metrics};
use crate::news::News;
use crate::reporter::Reporter;
use crate::sync::Sync;
use crate::table::Loaded;
use crate::tally::{Entry, Tally};

/// The mutable state of one plugin in one VM.
#[derive(Debug)]
pub(crate) struct Worker {
    pool: Rc<str>,
    pub(crate) metrics: Metrics,
    pub(crate) tally: Tally,
    pub(crate) reporter: Reporter,
    pub(crate) sync: Sync,
    pub(crate) news: News,
    /// Which reports of the workers the proxy's last reports were made of; only the holder of the lease knows.
    pub(crate) merged: Marks<Vec<(u64, u64)>>,
    pub(crate) rng: Rng,
    /// Numbers of the workers that gave a sign of life lately; only the holder of the lease keeps them.
    pub(crate) awake: Vec<u64>,
    loaded: Option<Loaded>,
    picker: Picker,
}

/// What was decided on a request.
#[derive(Debug, Default)]
pub(crate) struct Placed {
    /// Absent: no opinion, the proxy balances by itself.
    pub(crate) placement: Option<Placement>,
    /// Absent: nobody wants to read it.
    pub(crate) explanation: Option<Box<Explanation>>,
}

/// Where a request shall go.
#[derive(Debug)]
pub(crate) struct Placement {
    /// Up to three `ip:port`, best first, with commas between them.
    pub(crate) hosts: String,
    pub(crate) request: Request,
    /// The request is not placed: the proxy chooses, and this is what would have been done.
    pub(crate) observed: bool,
    endpoint: EndpointId,
    address: Rc<str>,
    /// Predicted seconds until prefill starts there; absent: not known.
    wait_s: Option<f64>,
}

/// What a request that is observed would have done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed {
    endpoint: EndpointId,
    wait_s: Option<f64>,
}

impl Placement {
    /// For comparison with what the proxy does.
    pub(crate) fn observed(&self) -> Observed {
        Observed {
            endpoint: self.endpoint,
            wait_s: self.wait_s,
        }
    }
}

/// A request that is on its way, in the picker's books and in ours.
#[derive(Debug)]
pub(crate) struct Sent {
    ticket: Ticket,
    entry: Option<Entry>,
}

impl Sent {
    /// Where it went; absent: not known.
    pub(crate) fn address(&self) -> Option<&str> {
        self.entry.as_ref().map(Entry::address)
    }

    /// Its share in the totals.
    pub(crate) fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }

    /// Whether how it goes decides about its endpoint.
    pub(crate) fn is_probe(&self) -> bool {
        self.ticket.is_probe()
    }
}

impl Worker {
    pub(crate) fn new(config: &Config, pool: &str, seed: u64) -> Self {
        let decision = trimtab_pick::Config {
            table_max_age_ms: config.table_max_age_ms,
            max_ejection_ms: config.max_ejection_ms,
        };
        Self {
            metrics: Metrics::new(pool),
            pool: pool.into(),
            tally: Tally::default(),
            reporter: Reporter::default(),
            sync: Sync::new(),
            news: News::default(),
            merged: Marks::default(),
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

    /// Takes a table into use. `report`: this worker's newest report that the table has taken in; absent: not known.
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
        let reported = report.and_then(|number| self.reporter.sends(number));
        self.picker.on_table(snapshot, reported);
        self.loaded = Some(loaded);
    }

    /// Decides on one request. `body`: what was read of it; absent: nothing was.
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
            self.metrics
                .count(Counter::Decisions, decision.reason.as_str());
            let explain = || self.explain(&decision, now, None, config, head, body);
            return Placed {
                placement: None,
                explanation: (head.explain || config.explain_log).then(explain),
            };
        };
        let request = facts::request(head, body, loaded.key, &loaded.table);
        self.reporter.on_decided(&request);
        let decision = self.picker.choose(now, &mut self.rng, &request);
        self.metrics
            .count(Counter::Decisions, decision.reason.as_str());
        let draw = request.conversation.map(|conversation| conversation.key);
        let observed =
            mode != Mode::Enforce && !mode.enforces(draw.unwrap_or_else(|| self.rng.next_u64()));
        let placement = placement(loaded, &decision, config.max_hosts, request, observed);
        let explain = || self.explain(&decision, now, placement.as_ref(), config, head, body);
        Placed {
            explanation: (head.explain || config.explain_log).then(explain),
            placement,
        }
    }

    fn explain(
        &self,
        decision: &Decision,
        now: Millis,
        placement: Option<&Placement>,
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

    /// The proxy has sent an observed request to `address` by itself: compares, and keeps books of it. Gives the wait that was predicted
    /// there, too.
    pub(crate) fn on_observed(
        &mut self,
        now: Millis,
        observed: Observed,
        address: &str,
        request: &Request,
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
        let sent = self.book(now, endpoint, address, request);
        (Some(sent), wait_s)
    }

    /// The endpoint of that address; absent: the table does not have it.
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

    /// The request goes to the first of its hosts. Says besides whether the others should know of it at once.
    pub(crate) fn on_sent(&mut self, now: Millis, placement: &Placement) -> (Sent, bool) {
        let (endpoint, address) = (placement.endpoint, &placement.address);
        let sent = self.book(now, endpoint, address, &placement.request);
        let is_news = sent.ticket.is_news();
        (sent, is_news)
    }

    fn book(
        &mut self,
        now: Millis,
        endpoint: EndpointId,
        address: &str,
        request: &Request,
    ) -> Sent {
        let ticket = self.picker.on_sent(now, endpoint, request);
        let tokens = ticket.uncached_tokens();
        Sent {
            ticket,
            entry: self.tally.on_sent(endpoint, address, tokens),
        }
    }

    /// The request went elsewhere: a retry, or a host that the proxy would not use. `None`: `address` is no endpoint of the table, so
    /// that there is nothing to keep books of.
    pub(crate) fn on_moved(
        &mut self,
        now: Millis,
        sent: Sent,
        address: &str,
        request: &Request,
    ) -> Option<Sent> {
        self.on_done(now, sent, true);
        let endpoint = self.listed(address)?;
        Some(self.book(now, endpoint, address, request))
    }

    /// The first byte of the answer's body came, so prefill is finished.
    pub(crate) fn on_first_byte(&mut self, now: Millis, sent: &mut Sent) {
        self.picker.on_first_byte(now, &mut sent.ticket);
        if let Some(entry) = &mut sent.entry {
            self.tally.on_first_byte(entry);
        }
    }

    /// How the request went, as far as it tells about its endpoint.
    pub(crate) fn on_outcome(&mut self, now: Millis, sent: &mut Sent, outcome: Outcome) {
        self.picker.on_outcome(now, &mut sent.ticket, outcome);
    }

    /// The request ended.
    pub(crate) fn on_done(&mut self, now: Millis, sent: Sent, failed: bool) {
        self.picker.on_done(now, sent.ticket);
        if let Some(entry) = sent.entry {
            self.tally.on_done(entry, failed);
        }
    }

    /// This worker's report as of now, and the number of its lists. `me`, `taken`: see [`Reporter::write`].
    pub(crate) fn report(&mut self, pool: &str, me: u64, taken: u64) -> (u64, Report) {
        let (tally, picker) = (&mut self.tally, &mut self.picker);
        self.reporter.write(pool, me, taken, tally, picker)
    }
}

/// `None`: no opinion.
fn placement(
    loaded: &Loaded,
    decision: &Decision,
    max_hosts: usize,
    request: Request,
    observed: bool,
) -> Option<Placement> {
    let row = |index: &u32| loaded.table.endpoints.get(usize::try_from(*index).ok()?);
    let choices = decision.choices.as_slice().iter().take(max_hosts);
    let hosts: Vec<&str> = choices
        .filter_map(row)
        .map(|row| row.address.as_str())
        .collect();
    let first = *hosts.first()?;
    Some(Placement {
        hosts: hosts.join(","),
        request,
        observed,
        endpoint: trimtab_loadtable::endpoint_id(&loaded.table.placement_key, first),
        address: first.into(),
        wait_s: decision.wait_s,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Body, Plan};
    use crate::table::tests::table;
    use std::collections::BTreeSet;

    const NOW: Millis = Millis(10_000);

    fn head() -> Head {
        Head {
            plan: Plan::Read,
            forged: 0,
            content_length: None,
            route: Default::default(),
            model: None,
            session: None,
            pools: crate::config::PoolSet::one(0),
            mode: None,
            routed: false,
            explain: true,
        }
    }

    fn worker(addresses: &[&str]) -> (Config, Worker) {
        let mut config = Config::example();
        config.explain_header = Some("x-why".into());
        let mut worker = Worker::new(&config, "chat", 1);
        worker.adopt(table(1, 1, addresses), NOW, None);
        (config, worker)
    }

    fn hosts_first(placement: &Placement) -> Option<&str> {
        placement.hosts.split(',').next()
    }

    #[test]
    fn without_a_table_there_is_no_opinion() {
        let config = Config::example();
        let mut worker = Worker::new(&config, "chat", 1);
        let placed = worker.place(NOW, &config, Mode::Enforce, &head(), None);
        assert!(placed.placement.is_none());
        assert_eq!(placed.explanation.unwrap().reason, "no_table");
        assert_eq!(worker.tally.decided, 1);
    }

    #[test]
    fn the_header_lists_as_many_hosts_of_the_table_as_configured_and_no_host_twice() {
        let addresses = [
            "10.0.0.1:80",
            "10.0.0.2:80",
            "10.0.0.3:80",
            "[2001:db8::1]:80",
        ];
        let (mut config, mut worker) = worker(&addresses);
        for max_hosts in 1..=3 {
            config.max_hosts = max_hosts;
            let placed = worker.place(NOW, &config, Mode::Enforce, &head(), None);
            let placement = placed.placement.unwrap();
            let hosts: BTreeSet<&str> = placement.hosts.split(',').collect();
            assert_eq!(hosts.len(), max_hosts, "{}", placement.hosts);
            assert!(hosts.iter().all(|host| addresses.contains(host)));
            let endpoint = placed.explanation.unwrap().endpoint;
            assert_eq!(endpoint.as_deref(), hosts_first(&placement));
        }
    }

    #[test]
    fn an_adapter_is_one_that_the_table_names() {
        let (_, worker) = worker(&["10.0.0.1:80"]);
        let loaded = worker.loaded().unwrap();
        let adapter = |model: &str| {
            let head = Head {
                model: Some(model.into()),
                ..head()
            };
            facts::request(&head, None, loaded.key, &loaded.table).adapter
        };
        assert_eq!(adapter("poet").unwrap().index, Some(0));
        assert_eq!(adapter("base"), None);
    }

    #[test]
    fn a_body_that_was_read_under_one_table_is_placed_under_the_key_of_the_next() {
        let (config, mut worker) = worker(&["10.0.0.1:80", "10.0.0.2:80"]);
        let mut body = Body::new(head().route.shape);
        let json = format!(r#"{{"prompt": "{}"}}"#, "word ".repeat(1_000));
        body.feed(json.as_bytes());
        let facts = body.facts(facts::Ending::Whole, None);
        let prefix = |worker: &mut Worker| {
            let placed = worker.place(NOW, &config, Mode::Enforce, &head(), Some(&facts));
            placed.placement.unwrap().request.prefix.unwrap().key
        };
        let before = prefix(&mut worker);
        assert_eq!(prefix(&mut worker), before);
        let mut next = table(1, 2, &["10.0.0.1:80", "10.0.0.2:80"]);
        next.placement_key = [9; 16];
        worker.adopt(next, NOW, None);
        assert_ne!(prefix(&mut worker), before);
    }

    #[test]
    fn a_request_is_booked_where_it_went_and_leaves_nothing_behind() {
        let (config, mut worker) = worker(&["10.0.0.1:80", "10.0.0.2:80"]);
        let placed = worker.place(NOW, &config, Mode::Enforce, &head(), None);
        let placement = placed.placement.unwrap();
        let first = placement.address.to_string();
        let other = if first == "10.0.0.1:80" {
            "10.0.0.2:80"
        } else {
            "10.0.0.1:80"
        };
        let on = |worker: &Worker, address: &str| {
            worker
                .tally
                .report()
                .into_iter()
                .find(|line| line.address == address)
                .map_or((0, 0), |line| (line.in_flight, line.failed))
        };
        let (sent, _) = worker.on_sent(NOW, &placement);
        assert_eq!(sent.address(), Some(first.as_str()));
        assert_eq!(on(&worker, &first), (1, 0));

        let mut sent = worker
            .on_moved(NOW, sent, other, &placement.request)
            .unwrap();
        assert_eq!((on(&worker, &first), on(&worker, other)), ((0, 1), (1, 0)));
        worker.on_first_byte(NOW, &mut sent);
        // A table without either of them comes while the request is under way.
        worker.adopt(table(1, 2, &["10.0.0.9:80"]), NOW, None);
        assert_eq!(on(&worker, other), (1, 0));
        worker.on_done(NOW, sent, false);
        worker.adopt(table(1, 3, &["10.0.0.9:80"]), NOW, None);
        assert!(worker.tally.report().is_empty());
    }

    #[test]
    fn a_request_that_went_to_a_stranger_is_not_booked() {
        let (config, mut worker) = worker(&["10.0.0.1:80"]);
        let placed = worker.place(NOW, &config, Mode::Enforce, &head(), None);
        let placement = placed.placement.unwrap();
        let (sent, _) = worker.on_sent(NOW, &placement);
        assert!(
            worker
                .on_moved(NOW, sent, "10.9.9.9:1", &placement.request)
                .is_none()
        );
        assert!(worker.tally.report().iter().all(|line| line.in_flight == 0));
    }
}
