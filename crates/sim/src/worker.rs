//! One proxy: its picker, its reports, and its side of the sync.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use trimtab_baselines::PromptBlocks;
use trimtab_engine::BLOCK_TOKENS;
use trimtab_loadtable::limits::REPORTED_PREFIXES;
use trimtab_loadtable::{
    EndpointReport, Moved, PrefixCount, Probe, Report, Table, Version, endpoint_id, snapshot_after,
};
use trimtab_pick::{
    Booking, EndpointId, EndpointLoad, Outcome, Request, Rng, Sends, State, Ticket,
};

use crate::clock::{Nanos, millis};
use crate::decider::Decider;
use crate::watch::Watch;
use crate::{PLACEMENT_KEY, POOL};

/// A table that arrived and is not indexed yet.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) table: Arc<Table>,
    /// The table's moved conversations, with the identities of the endpoints.
    pub(crate) moved: Arc<[(u64, EndpointId)]>,
    pub(crate) at: Nanos,
    pub(crate) reported: Option<Sends>,
}

/// A report on its way, and the sends that it covers.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    /// `None`: nothing changed since the last report.
    pub(crate) report: Option<Report>,
    pub(crate) sends: Sends,
}

/// A picker's answer.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    /// Best first. Empty means that the picker has no opinion.
    pub(crate) endpoints: Vec<EndpointId>,
    /// Predicted seconds until the prefill starts at the first endpoint.
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
    /// When the table in use arrived.
    adopted_at: Nanos,
    /// One line per endpoint, in the order of the fleet.
    tally: Vec<EndpointReport>,
    sequence: u64,
    /// Number of the last probe that the proxy sent.
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
    /// Makes a proxy. `blocks` is where the decider finds the blocks of a prompt. `None` if it
    /// reads no prompts.
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

    /// Returns the version of the newest table that arrived.
    pub(crate) fn version(&self) -> Option<Version> {
        let newest = self.inbox.as_ref().map(|arrived| &arrived.table);
        newest.or(self.table.as_ref()).map(|table| table.version)
    }

    pub(crate) fn table(&self) -> Option<&Table> {
        self.table.as_deref()
    }

    /// Indexes the newest table. This happens before a decision and not on arrival. The result is
    /// the same, and most tables are replaced before a decision needs them.
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

    /// Lets the next request try out the endpoint that the table asks this proxy to probe. Each
    /// probe is sent once.
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

    /// Returns the seconds since the table in use arrived. Returns `None` without a table.
    pub(crate) fn table_age_s(&self, now: Nanos) -> Option<f64> {
        self.table.as_ref()?;
        Some((now - self.adopted_at) as f64 / 1e9)
    }

    /// Gives the picker the prompt of the next request, as the chain of its blocks of
    /// [`BLOCK_TOKENS`] tokens.
    pub(crate) fn read(&self, chain: &[u64]) {
        if let Some(blocks) = &self.blocks {
            let each = (blocks.block_tokens() / BLOCK_TOKENS).max(1) as usize;
            // A block's hash covers everything before it. So the last hash in a larger block
            // identifies the larger block.
            blocks.set(chain.iter().skip(each - 1).step_by(each).copied());
        }
    }

    /// Chooses the endpoints for `request`.
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

    /// Returns the predicted seconds from sending a request until its prefill is over, without the
    /// base time of steps: the predicted wait plus the uncached prompt at the prefill speed of the
    /// endpoint's row. Returns `None` if nothing was predicted, or the row has no speed.
    pub(crate) fn predicted_ttft_s(&self, wait_s: Option<f64>, ticket: &Ticket) -> Option<f64> {
        let tokens_per_s = f64::from(self.row(ticket.endpoint())?.prefill_tokens_per_s?);
        let prefill_s = ticket.uncached_tokens() as f64 / tokens_per_s;
        Some(wait_s? + prefill_s).filter(|ttft_s| ttft_s.is_finite())
    }

    /// Returns whether the endpoint is draining by the table in use.
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

    /// Draws one of `count` endpoints, for when the picker has no opinion.
    pub(crate) fn any_of(&mut self, count: usize) -> usize {
        (self.rng.unit() * count as f64) as usize
    }

    /// Books a request that goes to the endpoint `id`, number `at` in the fleet.
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

    pub(crate) fn on_done(&mut self, at: usize, ticket: Ticket, failed: bool) {
        let tokens = u32::try_from(ticket.uncached_tokens()).unwrap_or(u32::MAX);
        let pending = ticket.is_pending();
        self.decider.on_done(ticket);
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

    /// Changes the report's line of endpoint number `at`.
    fn tell(&mut self, at: usize, change: impl FnOnce(&mut EndpointReport)) {
        if self.tally.len() <= at {
            self.tally.resize_with(at + 1, EndpointReport::default);
        }
        if let Some(line) = self.tally.get_mut(at) {
            change(line);
        }
        self.changed = true;
    }

    /// Returns what the proxy sends to the aggregator at this moment.
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

    /// Returns when to send a report of a large placement: at once, or `gap` after the last such
    /// report. Returns `None` if one is planned already.
    pub(crate) fn plan_news(&mut self, now: Nanos, gap: Nanos) -> Option<Nanos> {
        if self.news_planned {
            return None;
        }
        self.news_planned = true;
        Some(self.news_at.map_or(now, |at| now.max(at + gap)))
    }

    /// Returns the planned report of a large placement.
    pub(crate) fn news(&mut self, now: Nanos) -> Letter {
        self.news_planned = false;
        self.news_at = Some(now);
        self.letter()
    }

    /// Marks the report as changed after one was lost, so that the next one repeats its totals.
    pub(crate) fn on_lost(&mut self) {
        self.changed = true;
    }
}
