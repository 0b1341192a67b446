//! One plugin in one VM: its decider, its table, its requests in flight. No hostcalls but those of [`Metrics::flush`].

use std::fmt::Write as _;
use std::rc::Rc;

use trimtab_loadtable::{Report, Table, Version};
use trimtab_pick::{Decision, EndpointId, Millis, Outcome, Picker, Reason, Request, Rng, Ticket};

use crate::config::Config;
use crate::facts::{self, BodyFacts, HashKey, Head};
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

/// Where a request shall go.
#[derive(Debug)]
pub(crate) struct Placement {
    /// The destination header: up to three `ip:port`, best first.
    pub(crate) hosts: String,
    /// The explain header, when it is configured.
    pub(crate) explain: Option<String>,
    pub(crate) request: Request,
    endpoint: EndpointId,
    address: Rc<str>,
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
    pub(crate) fn new(config: &Config, seed: u64) -> Self {
        let decision = trimtab_pick::Config {
            table_max_age_ms: config.table_max_age_ms,
            max_ejection_ms: config.max_ejection_ms,
        };
        Self {
            metrics: Metrics::new(&config.pool),
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

    /// The key that facts are hashed with now; absent: there is no table, so facts are of no use.
    pub(crate) fn hash_key(&self) -> Option<HashKey> {
        self.loaded.as_ref().map(|loaded| loaded.key)
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

    /// Decides on one request. `body`: what was read of it, and under which key. Absent: no opinion, the proxy balances by itself.
    pub(crate) fn place(
        &mut self,
        now: Millis,
        config: &Config,
        head: &Head,
        body: Option<(&BodyFacts, HashKey)>,
    ) -> Option<Placement> {
        self.tally.on_decided();
        let Some(loaded) = &self.loaded else {
            self.metrics
                .count(Counter::Decisions, Reason::NoTable.as_str());
            return None;
        };
        // Hashes made under the key of an earlier table would point anywhere.
        let body = body
            .filter(|(_, key)| *key == loaded.key)
            .map(|(facts, _)| facts);
        let request = facts::request(head, body, loaded.key, &loaded.table);
        self.reporter.on_decided(&request);
        let decision = self.picker.choose(now, &mut self.rng, &request);
        self.metrics
            .count(Counter::Decisions, decision.reason.as_str());
        let row = |index: &u32| loaded.table.endpoints.get(usize::try_from(*index).ok()?);
        let hosts: Vec<&str> = decision
            .choices
            .as_slice()
            .iter()
            .take(config.max_hosts)
            .filter_map(row)
            .map(|row| row.address.as_str())
            .collect();
        let first = *hosts.first()?;
        Some(Placement {
            hosts: hosts.join(","),
            explain: config
                .explain_header
                .is_some()
                .then(|| explain(&decision, first, loaded.age_ms(now))),
            endpoint: trimtab_loadtable::endpoint_id(&loaded.table.placement_key, first),
            address: first.into(),
            request,
        })
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
        let loaded = self.loaded.as_ref()?;
        let rows = &loaded.table.endpoints;
        rows.binary_search_by(|row| row.address.as_str().cmp(address))
            .ok()?;
        let endpoint = trimtab_loadtable::endpoint_id(&loaded.table.placement_key, address);
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

fn explain(decision: &Decision, endpoint: &str, table_age_ms: u64) -> String {
    let mut text = format!("reason={}; endpoint={endpoint}", decision.reason.as_str());
    if let Some(wait_s) = decision.wait_s {
        // Writing to a String can not fail.
        let _ = write!(text, "; wait_ms={:.0}", wait_s * 1_000.0);
    }
    let _ = write!(
        text,
        "; candidates={}; table_age_ms={table_age_ms}",
        decision.candidates
    );
    if decision.left_out > 0 {
        let _ = write!(text, "; left_out={}", decision.left_out);
    }
    text
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
            model: None,
            session: None,
        }
    }

    fn worker(addresses: &[&str]) -> (Config, Worker) {
        let mut config = Config::example();
        config.explain_header = Some("x-why".into());
        let mut worker = Worker::new(&config, 1);
        worker.adopt(table(1, 1, addresses), NOW, None);
        (config, worker)
    }

    #[test]
    fn without_a_table_there_is_no_opinion() {
        let config = Config::example();
        let mut worker = Worker::new(&config, 1);
        assert!(worker.place(NOW, &config, &head(), None).is_none());
        assert_eq!(worker.hash_key(), None);
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
            let placement = worker.place(NOW, &config, &head(), None).unwrap();
            let hosts: BTreeSet<&str> = placement.hosts.split(',').collect();
            assert_eq!(hosts.len(), max_hosts, "{}", placement.hosts);
            assert!(hosts.iter().all(|host| addresses.contains(host)));
            let explain = placement.explain.unwrap();
            assert!(
                explain.contains(&format!("endpoint={}", placement.address)),
                "{explain}"
            );
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
    fn hashes_of_another_key_are_not_used() {
        let (config, mut worker) = worker(&["10.0.0.1:80", "10.0.0.2:80"]);
        let json = format!(r#"{{"prompt": "{}"}}"#, "word ".repeat(1_000));
        let placed = |worker: &mut Worker, key: HashKey| {
            let mut body = Body::new(key);
            body.feed(json.as_bytes()).unwrap();
            worker
                .place(NOW, &config, &head(), Some((&body.facts(None), key)))
                .unwrap()
                .request
        };
        let key = worker.hash_key().unwrap();
        assert!(placed(&mut worker, key).prefix.is_some());
        assert_eq!(placed(&mut worker, HashKey::new([9; 16])).prefix, None);
    }

    #[test]
    fn a_request_is_booked_where_it_went_and_leaves_nothing_behind() {
        let (config, mut worker) = worker(&["10.0.0.1:80", "10.0.0.2:80"]);
        let placement = worker.place(NOW, &config, &head(), None).unwrap();
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
        let placement = worker.place(NOW, &config, &head(), None).unwrap();
        let (sent, _) = worker.on_sent(NOW, &placement);
        assert!(
            worker
                .on_moved(NOW, sent, "10.9.9.9:1", &placement.request)
                .is_none()
        );
        assert!(worker.tally.report().iter().all(|line| line.in_flight == 0));
    }
}
