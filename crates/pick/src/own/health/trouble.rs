//! One endpoint with recent trouble.

use super::Outcome;
use crate::{EndpointId, Millis};

/// Points of failures in a row that eject: two failed connections, or three failed answers.
const EJECT_AT: u32 = 6;
/// An endpoint that cannot be reached fails for every request. An answer may have failed for a
/// reason of its own.
const CONNECT_FAILURE_POINTS: u32 = 3;
const FAILURE_POINTS: u32 = 2;
/// The first ejection, in milliseconds. Each further one lasts twice as long.
const EJECTION_MS: u64 = 5_000;
/// How long an overloaded endpoint rests that does not say for how long.
const REST_MS: u64 = 1_000;
/// After this long a request on probation without a result no longer keeps others from trying.
const TRIAL_MS: u64 = 30_000;
/// Slow start, in milliseconds.
pub(super) const SLOW_MS: u64 = 10_000;
/// After this long without trouble the past is forgotten.
const FORGET_MS: u64 = 60_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Used like any other, with failures in memory.
    Used,
    Ejected {
        for_ms: u64,
    },
    /// The endpoint asked for a rest.
    Resting {
        for_ms: u64,
    },
    /// The endpoint may get one request. `under_way`: it has that request.
    Probation {
        under_way: bool,
    },
    Slow,
}

/// What an endpoint's trouble means for decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    Nothing,
    ToBeLeftOut,
    /// Since this time.
    SlowStart(Millis),
    /// There is nothing to remember.
    Oblivion,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Trouble {
    pub(super) endpoint: EndpointId,
    phase: Phase,
    /// When the phase began. In [`Phase::Used`], when the last failure was. Never later than the
    /// newest `now` that was given.
    since: Millis,
    points: u32,
    /// Ejections in a row.
    ejections: u32,
}

impl Trouble {
    pub(super) fn new(now: Millis, endpoint: EndpointId) -> Self {
        Self {
            endpoint,
            phase: Phase::Used,
            since: now,
            points: 0,
            ejections: 0,
        }
    }

    pub(super) fn wants(&self) -> Wants {
        match self.phase {
            Phase::Used if self.points == 0 && self.ejections == 0 => Wants::Oblivion,
            Phase::Used | Phase::Probation { under_way: false } => Wants::Nothing,
            Phase::Ejected { .. }
            | Phase::Resting { .. }
            | Phase::Probation { under_way: true } => Wants::ToBeLeftOut,
            Phase::Slow => Wants::SlowStart(self.since),
        }
    }

    /// How long the phase lasts from `since` on. `None`: until something happens.
    fn lasts_ms(&self) -> Option<u64> {
        match self.phase {
            Phase::Used => Some(FORGET_MS),
            Phase::Ejected { for_ms } | Phase::Resting { for_ms } => Some(for_ms),
            Phase::Probation { under_way } => under_way.then_some(TRIAL_MS),
            Phase::Slow => Some(SLOW_MS),
        }
    }

    /// When time alone will change something.
    pub(super) fn changes_at(&self) -> Option<Millis> {
        let lasts_ms = self.lasts_ms()?;
        Some(Millis(self.since.0.saturating_add(lasts_ms)))
    }

    /// Changes what time alone changes. Returns `false` if there is nothing left to remember.
    pub(super) fn advance(&mut self, now: Millis) -> bool {
        // After the clock stepped back the phase begins anew. Otherwise it would last as much
        // longer as the step was.
        self.since = self.since.min(now);
        if self
            .lasts_ms()
            .is_some_and(|ms| now.since(self.since) >= ms)
        {
            let next = match self.phase {
                Phase::Used => return false,
                Phase::Ejected { .. } | Phase::Probation { .. } => {
                    Phase::Probation { under_way: false }
                }
                Phase::Resting { .. } | Phase::Slow => Phase::Used,
            };
            self.enter(now, next);
        }
        self.wants() != Wants::Oblivion
    }

    fn enter(&mut self, now: Millis, phase: Phase) {
        (self.phase, self.since) = (phase, now);
    }

    /// Records that a request goes there. Returns whether it shows that the endpoint has recovered.
    pub(super) fn on_sent(&mut self, now: Millis) -> bool {
        self.advance(now);
        if self.phase == (Phase::Probation { under_way: false }) {
            self.enter(now, Phase::Probation { under_way: true });
        }
        !matches!(self.phase, Phase::Used | Phase::Slow)
    }

    /// Ends an ejection early, because what caused it seems to be over at other endpoints.
    pub(super) fn on_hope(&mut self, now: Millis) {
        if matches!(self.phase, Phase::Ejected { .. }) {
            self.enter(now, Phase::Probation { under_way: false });
        }
    }

    pub(super) fn on_undecided(&mut self) {
        if self.phase == (Phase::Probation { under_way: true }) {
            self.phase = Phase::Probation { under_way: false };
        }
    }

    pub(super) fn on_recovered(&mut self, now: Millis) {
        self.points = 0;
        match self.phase {
            Phase::Used | Phase::Slow => {}
            // The endpoint never failed.
            Phase::Resting { .. } => self.enter(now, Phase::Used),
            Phase::Ejected { .. } | Phase::Probation { .. } => self.enter(now, Phase::Slow),
        }
    }

    pub(super) fn on_ok(&mut self) {
        self.points = 0;
    }

    /// Records a failure. Returns whether the endpoint is left out because of it, or for longer
    /// than before.
    ///
    /// - `probe`: the request was sent while the endpoint was out.
    /// - `max_ms`: most milliseconds of an ejection, and of a rest.
    pub(super) fn on_failure(
        &mut self,
        now: Millis,
        outcome: Outcome,
        probe: bool,
        max_ms: u64,
    ) -> bool {
        let points = match outcome {
            Outcome::Ok => {
                self.on_ok();
                return false;
            }
            Outcome::Overloaded { retry_after_ms } => {
                let for_ms = retry_after_ms.map_or(REST_MS, u64::from).min(max_ms);
                return self.on_overloaded(now, for_ms, probe);
            }
            Outcome::ConnectFailure => CONNECT_FAILURE_POINTS,
            Outcome::Reset | Outcome::ServerError => FAILURE_POINTS,
        };
        match self.phase {
            // Requests that were sent before show nothing new.
            Phase::Ejected { .. } => return false,
            Phase::Probation { .. } if !probe => return false,
            Phase::Probation { .. } => self.points = EJECT_AT,
            Phase::Used => self.since = now,
            Phase::Resting { .. } | Phase::Slow => {}
        }
        self.points = self.points.saturating_add(points);
        let ejects = self.points >= EJECT_AT;
        if ejects {
            let doubled = EJECTION_MS.saturating_mul(1 << self.ejections.min(16));
            self.points = 0;
            self.ejections = self.ejections.saturating_add(1);
            let for_ms = doubled.min(max_ms);
            self.enter(now, Phase::Ejected { for_ms });
        }
        ejects
    }

    fn on_overloaded(&mut self, now: Millis, for_ms: u64, probe: bool) -> bool {
        let until = now.0.saturating_add(for_ms);
        let rests = match self.phase {
            Phase::Ejected { .. } => false,
            Phase::Probation { .. } if !probe => false,
            // The latest end counts.
            Phase::Resting { .. } if self.changes_at() >= Some(Millis(until)) => false,
            _ => for_ms > 0,
        };
        if rests {
            self.enter(now, Phase::Resting { for_ms });
        }
        rests
    }
}
