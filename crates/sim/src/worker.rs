//! One worker of a proxy: it decides, and keeps the books of its requests.

use std::rc::Rc;
use std::sync::Arc;

use trimtab_baselines::PromptBlocks;
use trimtab_engine::BLOCK_TOKENS;
use trimtab_loadtable::{Table, snapshot_after};
use trimtab_pick::{
    Booking, EndpointId, EndpointLoad, Outcome, Request, Rng, Sends, State, Ticket,
};
use trimtab_report::{Sent, Written};

use crate::POOL;
use crate::clock::{Nanos, millis, nanos};
use crate::decider::Decider;
use crate::server::Server;
use crate::watch::Watch;

/// Longest time between two reports that a worker writes, as in the filter.
const HEARTBEAT_S: f64 = 1.0;
/// Least time between two reports of large placements that a worker writes, as in the filter.
const LARGE_GAP_S: f64 = 0.01;

/// A table on its way to a proxy.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) table: Arc<Table>,
    /// The table's moved conversations, with the identities of the endpoints.
    pub(crate) moved: Arc<[(u64, EndpointId)]>,
    pub(crate) at: Nanos,
    /// The sequence of the proxy's newest report that the table has taken in. `None`: the answer
    /// does not say it.
    pub(crate) report: Option<u64>,
}

/// A table that arrived and is not indexed yet.
#[derive(Debug)]
struct Unread {
    table: Arc<Table>,
    at: Nanos,
    reported: Option<Sends>,
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
pub(crate) struct Worker {
    number: u64,
    /// Position of its proxy.
    pub(crate) proxy: usize,
    decider: Box<dyn Decider>,
    blocks: Option<PromptBlocks>,
    rng: Rng,
    table: Option<Arc<Table>>,
    inbox: Option<Unread>,
    /// When the table in use arrived.
    adopted_at: Nanos,
    /// When it wrote its last report. `None`: never.
    written_at: Option<Nanos>,
    /// When it wrote the last report of a large placement.
    told_at: Option<Nanos>,
    pub(crate) watch: Watch,
}

impl Worker {
    /// Makes a worker. `number` is a number that no other worker has, `proxy` the position of its
    /// proxy. `blocks` is where the decider finds the blocks of a prompt. `None` if it reads no
    /// prompts.
    pub(crate) fn new(
        number: u64,
        proxy: usize,
        (decider, blocks): (Box<dyn Decider>, Option<PromptBlocks>),
        seed: u64,
    ) -> Self {
        Self {
            number,
            proxy,
            decider,
            blocks,
            rng: Rng::new(seed),
            table: None,
            inbox: None,
            adopted_at: 0,
            written_at: None,
            told_at: None,
            watch: Watch::default(),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Takes a table that came. `report` is this worker's newest report that the table has taken
    /// in. `None`: not known.
    pub(crate) fn on_table(&mut self, arrived: &Arrived, report: Option<u64>) {
        for (key, endpoint) in arrived.moved.iter() {
            self.decider.on_told(millis(arrived.at), *key, *endpoint);
        }
        self.inbox = Some(Unread {
            table: Arc::clone(&arrived.table),
            at: arrived.at,
            reported: report.and_then(|report| self.decider.sends(report)),
        });
    }

    pub(crate) fn table(&self) -> Option<&Table> {
        self.table.as_deref()
    }

    /// Indexes the newest table. This happens before a decision and not on arrival. The result is
    /// the same, and most tables are replaced before a decision needs them.
    pub(crate) fn catch_up(&mut self) {
        let Some(unread) = self.inbox.take() else {
            return;
        };
        let before = self.decider.snapshot().cloned();
        let snapshot = snapshot_after(&unread.table, millis(unread.at), before.as_deref());
        self.decider.on_table(Rc::new(snapshot), unread.reported);
        self.adopted_at = unread.at;
        self.table = Some(unread.table);
    }

    /// Lets the next request try out the endpoint.
    pub(crate) fn probe_next(&mut self, endpoint: EndpointId) {
        self.decider.probe_next(endpoint);
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
        let decision = self.decider.choose(millis(now), &mut self.rng, request);
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

    /// Books a request that goes to an endpoint.
    pub(crate) fn on_sent(&mut self, now: Nanos, to: &Server, booking: &Booking) -> Sent {
        self.decider
            .on_sent(millis(now), (to.id, &to.address), booking)
    }

    /// Books a request at the endpoint that it went to instead.
    pub(crate) fn on_rerouted(
        &mut self,
        now: Nanos,
        sent: Sent,
        to: Option<&Server>,
        booking: &Booking,
    ) -> Option<Sent> {
        let to = to.map(|to| (to.id, &to.address));
        self.decider.on_rerouted(millis(now), sent, to, booking)
    }

    pub(crate) fn on_first_byte(&mut self, now: Nanos, sent: &mut Sent) {
        self.decider.on_first_byte(millis(now), sent);
    }

    pub(crate) fn on_outcome(&mut self, now: Nanos, sent: &mut Sent, outcome: Outcome) {
        self.decider.on_outcome(millis(now), sent, outcome);
    }

    pub(crate) fn on_done(&mut self, sent: Sent, failed: bool) {
        self.decider.on_done(sent, failed);
    }

    /// Returns whether to write a report on a tick: something changed, or it is time for a sign of
    /// life. `tick` is the time between two ticks.
    pub(crate) fn is_due(&self, now: Nanos, tick: Nanos) -> bool {
        let over = |span: Nanos| self.written_at.is_none_or(|at| now >= at + span);
        over(tick) && (self.decider.is_changed() || over(nanos(HEARTBEAT_S)))
    }

    /// Returns whether to write a report of a large placement now. If not, the next tick reports
    /// it.
    pub(crate) fn tells(&mut self, now: Nanos) -> bool {
        let gap = nanos(LARGE_GAP_S);
        let tells = self.told_at.is_none_or(|at| now >= at + gap);
        if tells {
            self.told_at = Some(now);
        }
        tells
    }

    /// Writes a report. `taken` is the number of this worker's lists that were taken last.
    pub(crate) fn write(&mut self, now: Nanos, taken: u64) -> Written {
        self.written_at = Some(now);
        let (lists, report) = self.decider.write(POOL, self.number, taken);
        Written {
            worker: self.number,
            lists,
            report,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use trimtab_estimate::{Pool, PoolConfig};
    use trimtab_loadtable::{Report, endpoint_id};
    use trimtab_pick::{Config, Picker};
    use trimtab_report::{Books, Call};

    use crate::PLACEMENT_KEY;
    use crate::proxy::Proxy;

    fn workers() -> [Worker; 2] {
        [1, 2].map(|number| {
            let books = Books::new(Picker::new(Config::default()));
            Worker::new(number, 0, (Box::new(books), None), number)
        })
    }

    fn send(worker: &mut Worker) -> Sent {
        let to = (endpoint_id(&PLACEMENT_KEY, "a:1"), &Rc::from("a:1"));
        let booking = Request::default().into();
        worker.decider.on_sent(millis(0), to, &booking)
    }

    fn report(proxy: &mut Proxy, workers: &mut [Worker], at_s: f64) -> Option<Report> {
        proxy.report(Call::Sync, nanos(at_s), workers, nanos(0.1))
    }

    #[test]
    fn reports_become_one_and_each_worker_learns_what_of_its_own_a_table_has_taken_in() {
        let (mut proxy, mut workers) = (Proxy::new(9, 0), workers());
        let mut open = vec![send(&mut workers[0])];
        let first = report(&mut proxy, &mut workers, 0.0).unwrap();
        let told = |report: &Report| (report.proxy, report.sequence, report.endpoints[0].sent);
        assert_eq!(told(&first), (9, 1, 1));
        open.extend(workers.iter_mut().map(send));
        assert!(report(&mut proxy, &mut workers, 0.05).is_none(), "no tick");
        let second = report(&mut proxy, &mut workers, 0.1).unwrap();
        assert_eq!(told(&second), (9, 2, 3));

        let mut pool = Pool::new(PoolConfig::new(POOL, 1, PLACEMENT_KEY));
        let table = Arc::new(pool.table(Duration::ZERO));
        for (named, own) in [
            (Some(1), Some(1)),
            (Some(2), Some(2)),
            (Some(3), None),
            (None, None),
        ] {
            let arrived = Arrived {
                table: Arc::clone(&table),
                moved: Arc::new([]),
                at: 0,
                report: named,
            };
            proxy.on_answer(Some(&arrived), &mut workers);
            for worker in &workers {
                let unread = worker.inbox.as_ref().unwrap();
                let expected = own.and_then(|own| worker.decider.sends(own));
                assert_eq!(
                    (unread.reported, expected.is_some()),
                    (expected, own.is_some())
                );
            }
        }
        assert_ne!(workers[1].decider.sends(1), workers[1].decider.sends(2));
        drop(open);
    }
}
