//! One proxy: what its workers share, and its side of the sync. The first worker holds the lease.

use trimtab_loadtable::{Probe, Report, Table, Version, endpoint_id};
use trimtab_pick::EndpointId;
use trimtab_report::{Call, Merge, Outgoing, Written, of_worker};

use crate::POOL;
use crate::clock::Nanos;
use crate::worker::{Arrived, Worker};

#[derive(Debug)]
pub(crate) struct Proxy {
    number: u64,
    sequence: u64,
    /// The newest report of each worker.
    written: Vec<Written>,
    /// By worker, the number of the lists that were taken last.
    taken: Vec<(u64, u64)>,
    outgoing: Outgoing,
    /// Whether the next report says something that the aggregator does not know.
    changed: bool,
    /// The version of the newest table that arrived.
    have: Option<Version>,
    /// Number of the last probe that the proxy sent.
    probed: u64,
    pub(crate) called_at: Nanos,
    /// When the last urgent report went out, and when the next one is due.
    urgent: (Option<Nanos>, Option<Nanos>),
    /// How long a table takes to the proxy.
    pub(crate) delay: Nanos,
}

impl Proxy {
    pub(crate) fn new(number: u64, delay: Nanos) -> Self {
        Self {
            number,
            sequence: 0,
            written: Vec::new(),
            taken: Vec::new(),
            outgoing: Outgoing::default(),
            changed: false,
            have: None,
            probed: 0,
            called_at: 0,
            urgent: (None, None),
            delay,
        }
    }

    /// Returns the number in reports.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Returns the version of the newest table that arrived.
    pub(crate) fn version(&self) -> Option<Version> {
        self.have
    }

    /// Takes the answer to a poll, and passes its table to all workers.
    pub(crate) fn on_answer(&mut self, arrived: Option<&Arrived>, workers: &mut [Worker]) {
        let Some(arrived) = arrived else {
            self.outgoing.failed(Call::Sync);
            return;
        };
        self.outgoing.heard(Call::Sync);
        self.have = Some(arrived.table.version);
        let included = |sequence| self.outgoing.included(sequence);
        let included = arrived.report.and_then(included).unwrap_or_default();
        for worker in workers {
            worker.on_table(arrived, of_worker(included, worker.number()));
        }
    }

    /// Takes the endpoint that the table asks this proxy to probe. Each probe is sent once, by
    /// whichever worker takes it first.
    pub(crate) fn take_probe(&mut self, table: Option<&Table>) -> Option<EndpointId> {
        let table = table?;
        let own = |probe: &&Probe| probe.proxy == self.number && probe.number > self.probed;
        let probe = table.probes.iter().find(own)?;
        self.probed = probe.number;
        let row = table.endpoints.get(usize::from(probe.endpoint))?;
        Some(endpoint_id(&table.placement_key, &row.address))
    }

    /// A worker writes its report where the holder of the lease finds it.
    pub(crate) fn write(&mut self, now: Nanos, worker: &mut Worker) {
        let taken = of_worker(&self.taken, worker.number());
        let new = worker.write(now, taken.unwrap_or(0));
        let mut known = self.written.iter_mut();
        match known.find(|written| written.worker == new.worker) {
            Some(written) => *written = new,
            None => self.written.push(new),
        }
        self.changed = true;
    }

    /// Returns the report of all workers for a call that begins now. `None`: nothing has changed.
    /// `tick` is the time between two ticks of a worker.
    pub(crate) fn report(
        &mut self,
        call: Call,
        now: Nanos,
        workers: &mut [Worker],
        tick: Nanos,
    ) -> Option<Report> {
        let due = workers.iter_mut().filter(|worker| worker.is_due(now, tick));
        due.for_each(|worker| self.write(now, worker));
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        self.sequence += 1;
        let mut merge = Merge::new(self.written.clone());
        self.taken = merge.take_lists(&self.taken);
        let head = Report {
            pool: POOL.to_owned(),
            proxy: self.number,
            sequence: self.sequence,
            have: self.have,
            wait_ms: 1_000,
            ..Report::default()
        };
        Some(self.outgoing.report(call, merge, head))
    }

    /// The report of a call arrived, or not. A lost one counts as changed, so that the next one
    /// repeats its totals.
    pub(crate) fn on_reported(&mut self, call: Call, lost: bool) {
        self.changed |= lost;
        match (lost, call) {
            (true, _) => self.outgoing.failed(call),
            (false, Call::Report) => self.outgoing.heard(call),
            // The answer to a poll comes with a table.
            (false, Call::Sync) => {}
        }
    }

    /// Returns when to send an urgent report: after `wait`, and `gap` after the last one. Returns
    /// `None` if one is due by then already.
    pub(crate) fn plan_urgent(&mut self, now: Nanos, gap: Nanos, wait: Nanos) -> Option<Nanos> {
        let (last, due) = &mut self.urgent;
        let at = (now + wait).max(last.map_or(0, |at| at + gap));
        if due.is_some_and(|due| due <= at) {
            return None;
        }
        *due = Some(at);
        Some(at)
    }

    /// Returns whether the urgent report that was planned for now is still due. If so, it goes out.
    pub(crate) fn is_urgent(&mut self, now: Nanos) -> bool {
        let is_due = self.urgent.1 == Some(now);
        if is_due {
            self.urgent = (Some(now), None);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_engine::Profile;
    use trimtab_pick::{Config, Picker, Request};
    use trimtab_report::Books;

    use crate::server::Server;

    #[test]
    fn a_lost_report_is_repeated_with_the_next_call() {
        let books = Books::new(Picker::new(Config::default()));
        let mut workers = [Worker::new(1, 0, (Box::new(books), None), 1)];
        let server = Server::new(0, "a100", Profile::named("a100").unwrap()).unwrap();
        let sent = workers[0].on_sent(0, &server, &Request::default().into());
        let mut proxy = Proxy::new(9, 0);
        let mut report = |proxy: &mut Proxy, now| proxy.report(Call::Sync, now, &mut workers, 0);
        assert!(report(&mut proxy, 0).is_some());
        assert!(report(&mut proxy, 1).is_none(), "nothing has changed");
        proxy.on_reported(Call::Sync, true);
        let again = report(&mut proxy, 2).unwrap();
        assert_eq!((again.sequence, again.endpoints[0].sent), (2, 1));
        workers[0].on_done(sent, false);
    }

    #[test]
    fn an_urgent_report_goes_out_at_the_first_time_that_was_planned() {
        let mut proxy = Proxy::new(9, 0);
        assert_eq!(proxy.plan_urgent(10, 20, 100), Some(110));
        assert_eq!(proxy.plan_urgent(10, 20, 200), None, "one goes out before");
        assert_eq!(proxy.plan_urgent(15, 20, 0), Some(15));
        assert!(proxy.is_urgent(15) && !proxy.is_urgent(110));
        assert_eq!(proxy.plan_urgent(20, 20, 0), Some(35), "a gap later");
    }
}
