//! One run: the loop over the events that are due.

mod connect;
mod fleet;
mod jobs;
mod requests;
mod sync;

use std::collections::HashMap;

use trimtab_estimate::Sample;
use trimtab_loadtable::Report;
use trimtab_pick::{Booking, EndpointId};
use trimtab_report::{Call, Sent};
use trimtab_workload::{Rng, Session, Turn};

use crate::aggregator::Aggregator;
use crate::clock::{Agenda, Nanos, nanos, seconds};
use crate::measure::Measure;
use crate::oracle::Weights;
use crate::outcome::TrafficCounts;
use crate::proxy::Proxy;
use crate::server::Server;
use crate::worker::{Arrived, Worker};
use crate::{Invalid, Rule, Run, Scenario, percentile, rules, traffic};

/// An event that is due. Numbers are positions in the lists of the [`World`].
#[derive(Debug)]
enum Event {
    /// The next session starts.
    Session,
    /// A session's next turn is sent.
    Turn(usize),
    /// A step of an endpoint ends. The second number is the endpoint's `starts` when the step
    /// began.
    StepEnds(usize, u32),
    /// An endpoint is scraped.
    Scrape(usize),
    /// The sample of a scrape arrives at the aggregator.
    Scraped(usize, Box<Sample>),
    /// A table is due. Only the plan with the newest number counts.
    Publish(u64),
    /// A proxy polls.
    Poll(usize),
    /// A poll arrives at the aggregator, with a report if something has changed.
    PollArrives(usize, Option<Box<Report>>),
    /// The answer to a poll arrives, with a table unless the table was lost.
    Answer(usize, Option<Arrived>),
    /// A proxy sends a report without waiting for its next poll, if that is still due.
    Urgent(usize),
    /// A report that was sent without a poll arrives at the aggregator.
    UrgentArrives(usize, Box<Report>),
    /// The fleet changes.
    Churn(usize),
}

/// A session that has started.
#[derive(Debug)]
struct Live {
    session: Session,
    next: Option<Turn>,
    proxy: usize,
}

/// A request that has not ended.
#[derive(Debug)]
struct Job {
    live: usize,
    worker: usize,
    server: usize,
    /// The request in the worker's books. `None`: the oracle needs none.
    sent: Option<Sent>,
    /// Whether the worker has asked for the outcome.
    asked: bool,
    /// The booking of the request, while it is booked at another endpoint than `server`: the worker
    /// has not noticed a retry.
    astray: Option<Box<Booking>>,
    /// Seconds to the first token as the decision predicted. `None`: the rule predicts nothing.
    predicted_s: Option<f64>,
    sent_at: Nanos,
    first_at: Option<Nanos>,
    last_at: Nanos,
    prompt_tokens: u32,
    output_tokens: u32,
    /// Uncached tokens as computed when the request was sent. 0 once it is admitted.
    queued_tokens: u32,
    /// Tokens found in the cache when it was admitted.
    cached_tokens: u32,
    admitted: bool,
    measured: bool,
}

struct World<'a> {
    scenario: &'a Scenario,
    rule: Rule,
    oracle: Option<Weights>,
    agenda: Agenda<Event>,
    servers: Vec<Server>,
    by_id: HashMap<EndpointId, usize>,
    proxies: Vec<Proxy>,
    /// Those of the first proxy come first.
    workers: Vec<Worker>,
    aggregator: Aggregator,
    sessions: Box<dyn Iterator<Item = Session> + 'a>,
    upcoming: Option<Session>,
    lives: Vec<Option<Live>>,
    /// By the engine's request id.
    jobs: Vec<Option<Job>>,
    /// Measured requests that have not ended.
    open: u64,
    arrivals_over: bool,
    /// Draws proxy and worker of a request, the error of a prompt's length, and losses.
    rng: Rng,
    /// Upper ends of the proxies' shares of the requests.
    shares: Vec<f64>,
    adapters: bool,
    measure: Measure,
    measured: (Nanos, Nanos),
}

/// Simulates one run. With the oracle, makes one run per set of weights and returns the best.
///
/// # Errors
/// Returns an error when the workload or an engine profile is out of range, or the load is no
/// traffic. A scenario that was parsed is in range.
pub fn run(scenario: &Scenario, rule: Rule, load: f64, seed: u64) -> Result<Run, Invalid> {
    if rule != Rule::Oracle {
        let setting = rules::setting(scenario, rule);
        return Ok(World::new(&setting, rule, None, load, seed)?.run(load, seed));
    }
    let mut best: Option<Run> = None;
    for weights in Weights::ALL {
        let run = World::new(scenario, rule, Some(weights), load, seed)?.run(load, seed);
        let p99 = |run: &Run| percentile(&run.ttft_s, 0.99).unwrap_or(f64::INFINITY);
        if best.as_ref().is_none_or(|best| p99(&run) < p99(best)) {
            best = Some(run);
        }
    }
    best.ok_or(Invalid::Idle { load })
}

impl<'a> World<'a> {
    fn new(
        scenario: &'a Scenario,
        rule: Rule,
        oracle: Option<Weights>,
        load: f64,
        seed: u64,
    ) -> Result<Self, Invalid> {
        let mut rng = Rng::derive(seed, 0x73_696d);
        let from = nanos(scenario.warm_up_s);
        let mut world = Self {
            scenario,
            rule,
            oracle,
            agenda: Agenda::default(),
            servers: Vec::new(),
            by_id: HashMap::new(),
            proxies: sync::proxies(scenario, &mut rng),
            workers: sync::workers(scenario, rule, seed),
            aggregator: Aggregator::new(scenario, seed),
            sessions: traffic::sessions(scenario, load, seed)?,
            upcoming: None,
            lives: Vec::new(),
            jobs: Vec::new(),
            open: 0,
            arrivals_over: false,
            rng,
            shares: requests::shares(&scenario.deciders),
            adapters: traffic::has_adapters(&scenario.traffic),
            measure: Measure::default(),
            measured: (from, from + nanos(scenario.measured_s)),
        };
        for group in &scenario.fleet {
            world.add(group)?;
        }
        world.aggregator.list(0, &world.servers);
        Ok(world)
    }

    fn run(mut self, load: f64, seed: u64) -> Run {
        self.begin();
        let cut = self.measured.1 + nanos(self.scenario.grace_s);
        while let Some(event) = self.agenda.next() {
            let over = self.arrivals_over && self.open == 0;
            if over || self.agenda.now() > cut {
                break;
            }
            self.handle(event);
        }
        let lasted_s = seconds(self.agenda.now()).max(1e-9);
        let counts = &self.aggregator;
        let traffic = TrafficCounts {
            tables_per_s: counts.tables as f64 / lasted_s,
            table_bytes: counts.table_bytes as f64 / (counts.tables as f64).max(1.0),
            reports_per_s: counts.reports as f64 / lasted_s,
            table_age_s: 0.0,
        };
        let per_endpoint = self.servers.iter().map(|server| server.got).collect();
        self.measure.finish(
            self.scenario,
            self.rule,
            (load, seed),
            per_endpoint,
            traffic,
        )
    }

    fn begin(&mut self) {
        if self.oracle.is_none() {
            self.begin_sync();
        }
        for (index, churn) in self.scenario.churn.iter().enumerate() {
            self.agenda.plan(nanos(churn.at_s), Event::Churn(index));
        }
        self.plan_session();
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Session => self.on_session(),
            Event::Turn(live) => self.on_turn(live),
            Event::StepEnds(server, start) => self.on_step_end(server, start),
            Event::Scrape(server) => self.on_scrape(server),
            Event::Scraped(server, sample) => self.on_scraped(server, *sample),
            Event::Publish(number) => self.on_publish(number),
            Event::Poll(proxy) => self.on_poll(proxy),
            Event::PollArrives(proxy, report) => self.on_poll_arrives(proxy, report.as_deref()),
            Event::Answer(proxy, table) => self.on_answer(proxy, table.as_ref()),
            Event::Urgent(proxy) => self.on_urgent(proxy),
            Event::UrgentArrives(proxy, report) => self.on_report(proxy, Call::Report, &report),
            Event::Churn(index) => self.on_churn(index),
        }
    }

    /// Draws `true` with the chance `share`.
    fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.rng.unit() <= share
    }
}
