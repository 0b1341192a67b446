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
/// The first rest of an endpoint that refuses, in milliseconds. Each further one lasts twice as
/// long, at most as long as the endpoint asks.
pub(super) const REST_MS: u64 = 1_000;
/// An endpoint that serves some requests rests after this many refusals without a success.
const MOST_REFUSED: u32 = 8;
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
    /// The endpoint refused a request.
    Resting {
        for_ms: u64,
    },
    /// The endpoint refuses some requests and serves others. `refused`: how many since its last
    /// success.
    Selective {
        refused: u32,
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
    /// When the phase began. In [`Phase::Used`], when the last failure was; in
    /// [`Phase::Selective`], the last success. Never later than the newest `now` that was given.
    since: Millis,
    points: u32,
    /// Ejections in a row.
    ejections: u32,
    /// Rests in a row: no request that was sent after the first one has succeeded.
    rests: u32,
}

impl Trouble {
    pub(super) fn new(now: Millis, endpoint: EndpointId) -> Self {
        Self {
            endpoint,
            phase: Phase::Used,
            since: now,
            points: 0,
            ejections: 0,
            rests: 0,
        }
    }

    pub(super) fn wants(&self) -> Wants {
        match self.phase {
            Phase::Used if (self.points, self.ejections, self.rests) == (0, 0, 0) => {
                Wants::Oblivion
            }
            Phase::Used | Phase::Selective { .. } | Phase::Probation { under_way: false } => {
                Wants::Nothing
            }
            Phase::Ejected { .. }
            | Phase::Resting { .. }
            | Phase::Probation { under_way: true } => Wants::ToBeLeftOut,
            Phase::Slow => Wants::SlowStart(self.since),
        }
    }

    /// How long the phase lasts from `since` on. `None`: until something happens.
    fn lasts_ms(&self) -> Option<u64> {
        match self.phase {
            Phase::Used | Phase::Selective { .. } => Some(FORGET_MS),
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
                Phase::Resting { .. } | Phase::Selective { .. } | Phase::Slow => Phase::Used,
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
        match self.phase {
            Phase::Used => self.rests > 0,
            phase => !matches!(phase, Phase::Selective { .. } | Phase::Slow),
        }
    }

    /// Ends an ejection or a rest early, because what caused it seems to be over elsewhere.
    pub(super) fn on_hope(&mut self, now: Millis) {
        match self.phase {
            Phase::Ejected { .. } => self.enter(now, Phase::Probation { under_way: false }),
            Phase::Resting { .. } => self.enter(now, Phase::Used),
            _ => {}
        }
    }

    pub(super) fn on_undecided(&mut self) {
        if self.phase == (Phase::Probation { under_way: true }) {
            self.phase = Phase::Probation { under_way: false };
        }
    }

    pub(super) fn on_recovered(&mut self, now: Millis) {
        match self.phase {
            Phase::Ejected { .. } | Phase::Probation { .. } => self.enter(now, Phase::Slow),
            // The endpoint never failed, and it does not refuse everybody.
            _ if self.rests > 0 => self.enter(now, Phase::Selective { refused: 0 }),
            _ => {}
        }
        self.rests = 0;
        self.on_ok(now);
    }

    pub(super) fn on_ok(&mut self, now: Millis) {
        self.points = 0;
        if matches!(self.phase, Phase::Selective { .. }) {
            self.enter(now, Phase::Selective { refused: 0 });
        }
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
            Outcome::Ok | Outcome::Rejected => return false,
            Outcome::Overloaded { .. } => {
                return self.on_overloaded(now, outcome.asked_ms(max_ms), probe);
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
            Phase::Resting { .. } | Phase::Selective { .. } | Phase::Slow => {}
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

    /// - `asked_ms`: the longest rest.
    fn on_overloaded(&mut self, now: Millis, asked_ms: u64, probe: bool) -> bool {
        let rest_ms = |rests: u32| asked_ms.min(REST_MS << rests.min(16));
        match &mut self.phase {
            Phase::Ejected { .. } => return false,
            // Requests that were sent before show nothing new.
            Phase::Probation { .. } if !probe => return false,
            Phase::Used if self.rests > 0 && !probe => return false,
            Phase::Selective { refused } if *refused < MOST_REFUSED => {
                *refused += 1;
                return false;
            }
            // The longest rest counts, from when it began.
            Phase::Resting { for_ms } => {
                let longer_ms = rest_ms(self.rests.saturating_sub(1));
                let is_longer = longer_ms > *for_ms;
                *for_ms = longer_ms.max(*for_ms);
                return is_longer;
            }
            _ => {}
        }
        let for_ms = rest_ms(self.rests);
        if for_ms > 0 {
            self.rests = self.rests.saturating_add(1);
            self.enter(now, Phase::Resting { for_ms });
        }
        for_ms > 0
    }
}
