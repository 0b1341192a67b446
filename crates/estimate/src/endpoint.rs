//! Everything remembered of one endpoint.

use crate::backlog::Backlog;
use crate::by_turns::ByTurns;
use crate::config::EndpointSpec;
use crate::found::Found;
use crate::interval::Interval;
use crate::missed::Missed;
use crate::own_speed::OwnSpeed;
use crate::sample::{Adapters, Sample};
use crate::service::Service;
use crate::speed::{Run, Speed};
use crate::stall::Stall;
use crate::tries::Tries;
use crate::turnover::Turnover;
use crate::work::Work;
use std::time::Duration;

/// Adapters assumed resident where the server does not report its number of slots. vLLM's default
/// for `max_loras` is 1; 8 is common.
const DEFAULT_SLOTS: u32 = 8;
/// How many adapters are remembered of one endpoint.
const MAX_RESIDENT: u32 = 256;

/// What proxies report of an endpoint since its last scrape. Fractions: a report is spread over
/// time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Since {
    pub(crate) sent: f64,
    pub(crate) started: f64,
    pub(crate) finished: f64,
}

impl Since {
    /// Adds a share of a report's differences.
    pub(crate) fn add(&mut self, new: &Self, share: f64) {
        self.sent += new.sent * share;
        self.started += new.started * share;
        self.finished += new.finished * share;
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// Identifies the endpoint in [`crate::reports`]. Never used again for another address.
    pub(crate) id: u32,
    pub(crate) spec: EndpointSpec,
    pub(crate) added: Duration,
    /// The newest sample and its time. The time is when it came, or when it was asked for if it
    /// came late.
    pub(crate) sample: Option<(Duration, Sample)>,
    /// When the newest sample came.
    pub(crate) arrived_at: Duration,
    /// How long the newest sample took. Zero: it came in time.
    pub(crate) late: Duration,
    /// Failed scrapes in a row since then, without late ones.
    pub(crate) failures: u32,
    /// When the first page was missed since one came in time, and why the last one was missed.
    /// Absent: none was.
    pub(crate) missed: Option<(Duration, Missed)>,
    pub(crate) service: Service,
    pub(crate) tries: Tries,
    pub(crate) work: Work,
    pub(crate) turnover: Turnover,
    pub(crate) busy: Option<bool>,
    pub(crate) since: Since,
    /// The same since the newest sample came. The next sample, if it is late, may not include it.
    pub(crate) since_arrival: Since,
    pub(crate) backlog: Backlog,
    pub(crate) run: Run,
    /// Running requests of a batch that was full although neither compute nor KV blocks were
    /// scarce. Absent: none was seen.
    pub(crate) seen_limit: Option<f64>,
    pub(crate) found: Found,
    pub(crate) speed: OwnSpeed,
    pub(crate) stall: Stall,
    pub(crate) by_turns: ByTurns,
    /// Adapters by last use, newest first. `None`: the server has never named any.
    pub(crate) resident: Option<Vec<String>>,
}

impl Endpoint {
    pub(crate) fn new(id: u32, spec: EndpointSpec, now: Duration) -> Self {
        Self {
            id,
            spec,
            added: now,
            sample: None,
            arrived_at: Duration::ZERO,
            late: Duration::ZERO,
            failures: 0,
            missed: None,
            service: Service::default(),
            tries: Tries::default(),
            work: Work::default(),
            turnover: Turnover::default(),
            busy: None,
            since: Since::default(),
            since_arrival: Since::default(),
            backlog: Backlog::default(),
            run: Run::default(),
            seen_limit: None,
            found: Found::default(),
            speed: OwnSpeed::default(),
            stall: Stall::new(now),
            by_turns: ByTurns::default(),
            resident: None,
        }
    }

    /// Takes in a cleaned sample. Learns from the interval that it ends, and returns that interval.
    ///
    /// - `asked_at`: for a sample that came late, when it was asked for. The server wrote it
    ///   between then and `now`.
    pub(crate) fn on_sample(
        &mut self,
        now: Duration,
        asked_at: Option<Duration>,
        sample: Sample,
        speed: &mut Speed,
    ) -> Option<Interval> {
        let sample = self.by_turns.take(now, sample);
        let interval = self.interval(now, asked_at, &sample);
        let is_timed = asked_at.is_none() && self.late.is_zero();
        if let Some(interval) = interval {
            self.work.add(now, &interval);
            self.turnover.add(&interval);
            self.found.on_page(now, &interval);
            self.see_limit(&interval, &sample);
            if interval.shows_progress() {
                self.stall.on_progress(now);
            }
            match is_timed {
                true => speed.add(now, &interval, &mut self.run, &mut self.speed),
                // Work over an unknown time does not show a speed.
                false => self.run = Run::default(),
            }
            self.busy = speed.prefill_busy(
                &interval,
                sample.waiting.zip(sample.running).map(|(w, r)| w + r),
                self.busy,
            );
        } else {
            // This is the first sample, or the server has restarted. What was learned before does
            // not hold.
            self.run = Run::default();
            self.busy = None;
            self.resident = None;
            self.seen_limit = None;
            self.turnover = Turnover::default();
            self.found = Found::default();
            self.stall = Stall::new(now);
        }
        if let Some(adapters) = &sample.adapters {
            self.see_adapters(adapters);
        }
        self.take(now, asked_at, sample);
        interval
    }

    fn take(&mut self, now: Duration, asked_at: Option<Duration>, sample: Sample) {
        self.failures = 0;
        let since = std::mem::take(&mut self.since_arrival);
        match asked_at {
            Some(asked_at) => {
                self.late = now.saturating_sub(asked_at);
                self.since = since;
            }
            None => {
                self.late = Duration::ZERO;
                self.since = Since::default();
                self.missed = None;
            }
        }
        self.sample = Some((asked_at.unwrap_or(now), sample));
        self.arrived_at = now;
    }

    /// Returns the interval that a sample ends. Where one of its ends is not known exactly, the
    /// interval is taken as too long rather than too short, so that no rate is too high.
    fn interval(
        &self,
        now: Duration,
        asked_at: Option<Duration>,
        sample: &Sample,
    ) -> Option<Interval> {
        let (before_at, before) = self.sample.as_ref()?;
        let since = match asked_at {
            Some(_) => self.arrived_at,
            None => *before_at,
        };
        Interval::between(before, sample, now.saturating_sub(since).as_secs_f64())
    }

    /// Notes that a scrape brought no sample, or none yet.
    pub(crate) fn on_missed(&mut self, now: Duration, missed: Missed) {
        if missed != Missed::Late {
            self.failures = self.failures.saturating_add(1);
        }
        let first = self.missed.map(|(at, _)| at);
        if first.is_none() {
            // Another server may be behind the address.
            self.service = Service::default();
        }
        self.missed = Some((first.unwrap_or(now), missed));
    }

    /// Learns the batch limit. If requests wait through steps without prefill, with KV blocks to
    /// spare, they wait for a slot. The limit holds until more requests run: a batch that is not
    /// full for another reason shows fewer, never more.
    fn see_limit(&mut self, interval: &Interval, sample: &Sample) {
        let running = sample.running.unwrap_or(0.0);
        if self.seen_limit.is_some_and(|limit| running > limit) {
            self.seen_limit = None;
        }
        let for_adapters = sample
            .adapters
            .as_ref()
            .is_some_and(|adapters| !adapters.waiting.is_empty());
        // During a long step the page stands still and shows nothing.
        let stepped = interval.step_tokens.is_some_and(|steps| steps.count >= 1.0);
        let is_full = interval.saturated == Some(true) && interval.decode_only && stepped;
        if is_full && !for_adapters && interval.running == Some(running) && running >= 1.0 {
            self.seen_limit = Some(self.seen_limit.unwrap_or(0.0).max(running));
        }
    }

    /// Updates the resident adapters. Many engines list the adapters in use, not those that are
    /// loaded. They evict the least recently used, so the last `slots` adapters seen in use are
    /// resident.
    fn see_adapters(&mut self, adapters: &Adapters) {
        if let Some(loaded) = &adapters.loaded {
            let most = loaded.iter().take(MAX_RESIDENT as usize);
            self.resident = Some(most.cloned().collect());
            return;
        }
        let slots = adapters.slots.unwrap_or(DEFAULT_SLOTS).min(MAX_RESIDENT) as usize;
        let resident = self.resident.get_or_insert_default();
        let seen = &adapters.running;
        resident.retain(|name| !seen.contains(name));
        let mut newest = seen.clone();
        newest.append(resident);
        newest.truncate(slots);
        *resident = newest;
    }

    /// Returns the time since the newest sample, or since the endpoint was added.
    pub(crate) fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.sample.as_ref().map_or(self.added, |(at, _)| *at))
    }

    /// Returns the most sequences in one batch: as the page says, as configured, or as seen.
    pub(crate) fn batch_limit(&self) -> Option<f64> {
        let said = self
            .sample
            .as_ref()
            .and_then(|(_, sample)| sample.batch_limit);
        let configured = self.spec.batch_limit.map(f64::from);
        said.or(configured).or(self.seen_limit)
    }

    /// Returns the requests in the engine at the last scrape.
    pub(crate) fn in_engine(&self) -> Option<f64> {
        let (_, sample) = self.sample.as_ref()?;
        sample
            .waiting
            .zip(sample.running)
            .map(|(waiting, running)| waiting + running)
    }

    /// Returns waiting and running requests as of now: the scrape, moved forward by later reports.
    ///
    /// Requests in the engine change by sent minus finished. Requests that got a first byte have
    /// left the queue. A request that was past the queue but in prefill at the scrape counts as
    /// leaving the queue twice. So the queue is bounded at zero, and running requests are the rest
    /// of the total. The total is right whatever the split.
    pub(crate) fn forwarded(&self) -> (Option<f64>, Option<f64>) {
        let Some((_, sample)) = &self.sample else {
            return (None, None);
        };
        let (Some(waiting), Some(running)) = (sample.waiting, sample.running) else {
            return (sample.waiting, sample.running);
        };
        let Since {
            sent,
            started,
            finished,
        } = self.since;
        let total = (waiting + running + sent - finished).max(0.0);
        let queued = (waiting + sent - started).clamp(0.0, total);
        (Some(queued), Some(total - queued))
    }
}
