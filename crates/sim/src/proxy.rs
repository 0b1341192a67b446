//! One decider: a picker, what it reports, and its side of the sync.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use trimtab_engine::BLOCK_TOKENS;
use trimtab_loadtable::limits::REPORTED_PREFIXES;
use trimtab_loadtable::{
    EndpointReport, Moved, PrefixCount, Probe, Report, Table, Version, endpoint_id, snapshot_after,
};
use trimtab_pick::baseline::PromptBlocks;
use trimtab_pick::{
    Booking, EndpointId, EndpointLoad, Outcome, Request, Rng, Sends, State, Ticket,
};

use crate::clock::{Nanos, millis};
use crate::decider::Decider;
use crate::watch::Watch;
use crate::{PLACEMENT_KEY, POOL};

/// A table that came and was not indexed yet.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) table: Arc<Table>,
    /// The table's list of conversations, with the identities of the endpoints.
    pub(crate) moved: Arc<[(u64, EndpointId)]>,
    pub(crate) at: Nanos,
    pub(crate) reported: Option<Sends>,
}

/// A report on its way.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    /// Absent: nothing changed since the last one.
    pub(crate) report: Option<Report>,
    pub(crate) sends: Sends,
}

/// What a decider says.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    /// Best first; empty: no opinion.
    pub(crate) endpoints: Vec<EndpointId>,
    /// Predicted seconds until the prefill starts at the first of them.
    pub(crate) wait_s: Option<f64>,
    /// The request as it was decided on.
    pub(crate) booking: Booking,
}

#[derive(Debug)]
pub(crate) struct Proxy {
    number: u64,
    decider: Box<dyn Decider>,
    blocks: Option<PromptBlocks>,
    rng: Rng,
    table: Option<Arc<Table>>,
    inbox: Option<Arrived>,
    /// When the table that decisions are made with came.
    adopted_at: Nanos,
    /// Per endpoint of the fleet, in its order.
    tally: Vec<EndpointReport>,
    sequence: u64,
    /// The last probe that it has sent.
    probed: u64,
    decided: u64,
    /// Requests per shared beginning since the last report.
    prefixes: BTreeMap<u64, u32>,
    changed: bool,
    pub(crate) called_at: Nanos,
    news_at: Option<Nanos>,
    news_planned: bool,
    pub(crate) delay: Nanos,
    pub(crate) watch: Watch,
}

impl Proxy {
    /// `blocks`: where the decider finds the blocks of the prompt, if it reads prompts.
    pub(crate) fn new(
        number: u64,
        (decider, blocks): (Box<dyn Decider>, Option<PromptBlocks>),
        seed: u64,
        delay: Nanos,
    ) -> Self {
        Self {
            number,
            decider,
            blocks,
            rng: Rng::new(seed),
            table: None,
            inbox: None,
            adopted_at: 0,
            tally: Vec::new(),
            sequence: 0,
            probed: 0,
            prefixes: BTreeMap::new(),
            decided: 0,
            changed: true,
            called_at: 0,
            news_at: None,
            news_planned: false,
            delay,
            watch: Watch::default(),
        }
    }

    pub(crate) fn on_table(&mut self, arrived: Arrived) {
        for (key, endpoint) in arrived.moved.iter() {
            self.decider.on_told(millis(arrived.at), *key, *endpoint);
        }
        self.inbox = Some(arrived);
    }

    /// The newest table that came.
    pub(crate) fn version(&self) -> Option<Version> {
        let newest = self.inbox.as_ref().map(|arrived| &arrived.table);
        newest.or(self.table.as_ref()).map(|table| table.version)
    }

    pub(crate) fn table(&self) -> Option<&Table> {
        self.table.as_deref()
    }

    /// Indexes the newest table. Done before a decision and not on arrival: the outcome is the same, and most tables of most
    /// deciders are never asked.
    pub(crate) fn catch_up(&mut self) {
        let Some(arrived) = self.inbox.take() else {
            return;
        };
        let before = self.decider.snapshot().cloned();
        let snapshot = snapshot_after(&arrived.table, millis(arrived.at), before.as_deref());
        self.decider.on_table(Rc::new(snapshot), arrived.reported);
        self.adopted_at = arrived.at;
        self.table = Some(arrived.table);
    }

    /// Lets the next request try out what the table asks this proxy for, once.
    fn probe(&mut self) {
        let Some(table) = &self.table else { return };
        let own = |probe: &&Probe| probe.proxy == self.number && probe.number > self.probed;
        let Some(probe) = table.probes.iter().find(own) else {
            return;
        };
        self.probed = probe.number;
        if let Some(row) = table.endpoints.get(usize::from(probe.endpoint)) {
            let id = endpoint_id(&table.placement_key, &row.address);
            self.decider.probe_next(id);
        }
    }

    /// Seconds since the table in use came; absent: none came.
    pub(crate) fn table_age_s(&self, now: Nanos) -> Option<f64> {
        self.table.as_ref()?;
        Some((now - self.adopted_at) as f64 / 1e9)
    }

    /// The prompt of the request that is chosen for next, as the chain of its [`BLOCK_TOKENS`]-token blocks.
    pub(crate) fn read(&self, chain: &[u64]) {
        if let Some(blocks) = &self.blocks {
            let each = (blocks.block_tokens() / BLOCK_TOKENS).max(1) as usize;
            // The hash of a block covers all before it, so that the last one of each larger block is that block's.
            blocks.set(chain.iter().skip(each - 1).step_by(each).copied());
        }
    }

    /// The endpoints for `request`.
    pub(crate) fn choose(&mut self, now: Nanos, request: &Request) -> Chosen {
        self.probe();
        self.decided += 1;
        self.changed = true;
        let decision = self.decider.choose(millis(now), &mut self.rng, request);
        for key in decision.booking.shared_keys() {
            if self.prefixes.len() < REPORTED_PREFIXES || self.prefixes.contains_key(&key) {
                *self.prefixes.entry(key).or_default() += 1;
            }
        }
        let Some(snapshot) = self.decider.snapshot() else {
            return Chosen {
                booking: decision.booking,
                ..Chosen::default()
            };
        };
        let id = |index: &u32| Some(snapshot.endpoints().get(*index as usize)?.id);
        Chosen {
            endpoints: decision.choices.as_slice().iter().filter_map(id).collect(),
            wait_s: decision.wait_s,
            booking: decision.booking,
        }
    }

    /// Seconds from the sending of a request until its prefill is over, but for the steps in which that happens: the predicted wait and
    /// what the endpoint's row says of the uncached prompt. Absent: nothing was predicted, or the row does not say.
    pub(crate) fn predicted_ttft_s(&self, wait_s: Option<f64>, ticket: &Ticket) -> Option<f64> {
        let tokens_per_s = f64::from(self.row(ticket.endpoint())?.prefill_tokens_per_s?);
        let prefill_s = ticket.uncached_tokens() as f64 / tokens_per_s;
        Some(wait_s? + prefill_s).filter(|ttft_s| ttft_s.is_finite())
    }

    /// Whether the table in use says that the endpoint is to get nothing new.
    pub(crate) fn knows_draining(&self, endpoint: EndpointId) -> bool {
        let row = self.row(endpoint);
        row.is_some_and(|row| row.state == State::Draining)
    }

    fn row(&self, endpoint: EndpointId) -> Option<&EndpointLoad> {
        let snapshot = self.decider.snapshot()?;
        snapshot
            .endpoints()
            .get(snapshot.index_of(endpoint)? as usize)
    }

    /// One of `count`, for when there is no opinion.
    pub(crate) fn any_of(&mut self, count: usize) -> usize {
        (self.rng.unit() * count as f64) as usize
    }

    /// The request goes to the endpoint `id`, which is the `at`-th of the fleet.
    pub(crate) fn on_sent(
        &mut self,
        now: Nanos,
        (id, at): (EndpointId, usize),
        address: &str,
        booking: &Booking,
    ) -> Ticket {
        let ticket = self.decider.on_sent(millis(now), id, booking);
        let tokens = u32::try_from(ticket.uncached_tokens()).unwrap_or(u32::MAX);
        self.tell(at, |line| {
            if line.address.is_empty() {
                address.clone_into(&mut line.address);
            }
            line.sent += 1;
            line.in_flight += 1;
            line.pending += 1;
            line.sent_tokens += u64::from(tokens);
            line.pending_tokens += tokens;
        });
        ticket
    }

    pub(crate) fn on_first_byte(&mut self, now: Nanos, at: usize, ticket: &mut Ticket) {
        let tokens = u32::try_from(ticket.uncached_tokens()).unwrap_or(u32::MAX);
        self.decider.on_first_byte(millis(now), ticket);
        self.tell(at, |line| {
            line.started += 1;
            line.pending = line.pending.saturating_sub(1);
            line.pending_tokens = line.pending_tokens.saturating_sub(tokens);
        });
    }

    pub(crate) fn on_outcome(&mut self, now: Nanos, ticket: &mut Ticket, outcome: Outcome) {
        self.decider.on_outcome(millis(now), ticket, outcome);
    }

    pub(crate) fn on_done(&mut self, now: Nanos, at: usize, ticket: Ticket, failed: bool) {
        let tokens = u32::try_from(ticket.uncached_tokens()).unwrap_or(u32::MAX);
        let pending = ticket.is_pending();
        self.decider.on_done(millis(now), ticket);
        self.tell(at, |line| {
            line.finished += 1;
            line.failed += u64::from(failed);
            line.in_flight = line.in_flight.saturating_sub(1);
            if pending {
                line.pending = line.pending.saturating_sub(1);
                line.pending_tokens = line.pending_tokens.saturating_sub(tokens);
            }
        });
    }

    /// Changes what is said of the `at`-th endpoint.
    fn tell(&mut self, at: usize, change: impl FnOnce(&mut EndpointReport)) {
        if self.tally.len() <= at {
            self.tally.resize_with(at + 1, EndpointReport::default);
        }
        if let Some(line) = self.tally.get_mut(at) {
            change(line);
        }
        self.changed = true;
    }

    /// What goes to the aggregator now.
    pub(crate) fn letter(&mut self) -> Letter {
        let changed = std::mem::take(&mut self.changed);
        Letter {
            report: changed.then(|| self.report()),
            sends: self.decider.sends(),
        }
    }

    fn report(&mut self) -> Report {
        self.sequence += 1;
        let endpoints: Vec<EndpointReport> = self
            .tally
            .iter()
            .filter(|line| line.sent > 0)
            .cloned()
            .collect();
        Report {
            held: Vec::new(),
            moved: self.moved(&endpoints),
            pool: POOL.to_owned(),
            proxy: self.number,
            sequence: self.sequence,
            have: self.version(),
            placement_key: None,
            wait_ms: 1_000,
            workers: 1,
            decided: self.decided,
            endpoints,
            prefixes: std::mem::take(&mut self.prefixes)
                .into_iter()
                .map(|(key, count)| PrefixCount { key, count })
                .collect(),
        }
    }

    fn moved(&mut self, endpoints: &[EndpointReport]) -> Vec<Moved> {
        let moved = |(key, id): (u64, EndpointId)| {
            let row = endpoints
                .iter()
                .position(|line| endpoint_id(&PLACEMENT_KEY, &line.address) == id)?;
            Some(Moved {
                key,
                endpoint: u16::try_from(row).ok()?,
            })
        };
        let all = self.decider.take_moved();
        all.into_iter().filter_map(moved).collect()
    }

    /// When news of a large placement go out: at once, or `gap` after the news before. Absent: news are planned already.
    pub(crate) fn plan_news(&mut self, now: Nanos, gap: Nanos) -> Option<Nanos> {
        if self.news_planned {
            return None;
        }
        self.news_planned = true;
        Some(self.news_at.map_or(now, |at| now.max(at + gap)))
    }

    /// The news.
    pub(crate) fn news(&mut self, now: Nanos) -> Letter {
        self.news_planned = false;
        self.news_at = Some(now);
        self.letter()
    }

    /// A report that was lost has to be said again.
    pub(crate) fn on_lost(&mut self) {
        self.changed = true;
    }
}
