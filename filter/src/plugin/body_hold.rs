//! Whether a worker may hold headers back until it has seen a body. That depends on the proxy's
//! option `allow_on_headers_stop_iteration`.
//!
//! Without the option `Pause` at headers stops the body too, and the request would wait forever. A
//! filter cannot read the option, but it can try. A held request whose body has not come after
//! [`PROBE_MS`] is let go. If its body follows within the same tick, the body was there all along,
//! so the option is missing. From then on this worker places requests by their headers alone, and
//! tries again after [`RETRY_MS`].
//!
//! An option that worked may stop working when the proxy gets another configuration. So a request
//! whose body has not begun never waits longer than one whose body has.
//!
//! Comes in: ticks, and when bodies came. Goes out: whether to hold, and for how long. Never: a
//! hostcall.

use std::cell::Cell;

/// How long a held request waits for the beginning of its body until holding has worked, in
/// milliseconds.
const PROBE_MS: u64 = 200;
/// How long requests are placed by headers alone before one is held again, in milliseconds. Also
/// how long a limit of the proxy is remembered.
const RETRY_MS: u64 = 60_000;
/// Bytes of a body that may be held where a name that decides may stand anywhere in the body. Half
/// of what Envoy holds by default.
const LONG_BYTES: usize = 512 * 1024;

/// What is known of the option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    /// A body came while its headers were held.
    Works,
    /// A body came only after its headers were let go. `tried`: the tick at which a request was
    /// last held.
    Fails {
        tried: u64,
    },
}

/// What one worker knows. Times are counts of ticks, because reading the time costs a hostcall.
#[derive(Debug)]
pub(crate) struct BodyHold {
    known: Cell<Known>,
    ticks: Cell<u64>,
    /// How much of a long body the proxy holds, in bytes, and the tick at which that was seen.
    long: Cell<Option<(usize, u64)>>,
    tick_ms: u64,
    decide_within_ms: u64,
}

impl BodyHold {
    /// Creates the state of a worker that knows nothing.
    ///
    /// - `tick_ms`: time between two ticks.
    /// - `decide_within_ms`: how long a request may wait for the rest of its body.
    pub(crate) fn new(tick_ms: u32, decide_within_ms: u64) -> Self {
        Self {
            known: Cell::new(Known::Nothing),
            ticks: Cell::new(0),
            long: Cell::new(None),
            tick_ms: u64::from(tick_ms.max(1)),
            decide_within_ms,
        }
    }

    /// Returns the number of ticks so far.
    pub(crate) fn ticks(&self) -> u64 {
        self.ticks.get()
    }

    /// Counts a tick.
    pub(crate) fn on_tick(&self) {
        self.ticks.set(self.ticks().saturating_add(1));
    }

    /// The plugin is removed or gets another configuration: no tick comes after this. So every
    /// waiting request has waited long enough, and, unless holding is known to work, no request is
    /// held from here on.
    pub(crate) fn retire(&self) {
        self.ticks.set(u64::MAX);
        if self.known.get() != Known::Works {
            self.known.set(Known::Fails { tried: u64::MAX });
        }
    }

    /// Whether to hold the headers of the request that begins now.
    pub(crate) fn may_hold(&self) -> bool {
        match self.known.get() {
            Known::Nothing | Known::Works => true,
            Known::Fails { tried } => {
                let again = self.ticks().saturating_sub(tried) * self.tick_ms >= RETRY_MS;
                if again {
                    let tried = self.ticks();
                    self.known.set(Known::Fails { tried });
                }
                again
            }
        }
    }

    /// Whether a request that is held since tick `since` has to go on, if none of its body has
    /// come.
    pub(crate) fn probe_is_over(&self, since: u64) -> bool {
        match self.known.get() {
            Known::Works => self.reading_is_over(since),
            _ => self.is_past(since, PROBE_MS),
        }
    }

    /// Whether a body that is read since tick `since` has been read for long enough. The time is
    /// limited because pick waits only for a while. Also, where the listener's buffer limit is
    /// below `decide_after_bytes`, the proxy reads no more of the body until the request goes on.
    pub(crate) fn reading_is_over(&self, since: u64) -> bool {
        self.is_past(since, self.decide_within_ms)
    }

    fn is_past(&self, since: u64, patience_ms: u64) -> bool {
        // The first tick may have come at once.
        self.ticks().saturating_sub(since) > patience_ms.div_ceil(self.tick_ms)
    }

    /// Returns how many bytes of a body may be held where all of it may matter. A lower limit of
    /// the proxy counts for [`RETRY_MS`] after it was met.
    pub(crate) fn long_bytes(&self) -> usize {
        let is_new = |since| self.ticks().saturating_sub(since) * self.tick_ms < RETRY_MS;
        let met = self.long.get().filter(|(_, since)| is_new(*since));
        met.map_or(LONG_BYTES, |(bytes, _)| bytes)
    }

    /// A body stopped coming after `bytes` bytes.
    pub(crate) fn on_long_body_stopped(&self, bytes: usize) {
        self.long.set(Some((bytes, self.ticks())));
    }

    /// A body came while its headers were held.
    pub(crate) fn on_body(&self) {
        self.known.set(Known::Works);
    }

    /// A body came after its headers had been let go, at tick `let_go_at`, without any of it.
    /// Returns `true` if this shows for the first time that the option is missing.
    pub(crate) fn on_late_body(&self, let_go_at: u64) -> bool {
        let tried = self.ticks();
        if let_go_at != tried {
            return false;
        }
        let before = self.known.get();
        match before {
            Known::Nothing => self.known.set(Known::Fails { tried }),
            // This may be chance, or the option is gone. The next requests show which.
            Known::Works => self.known.set(Known::Nothing),
            Known::Fails { .. } => {}
        }
        before == Known::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(ticks: u64) -> BodyHold {
        let holding = BodyHold::new(100, 1_000);
        (0..ticks).for_each(|_| holding.on_tick());
        holding
    }

    #[test]
    fn only_while_nothing_is_known_a_request_is_let_go_to_find_out() {
        let holding = after(3);
        assert!(holding.probe_is_over(0) && !holding.probe_is_over(1));
        holding.on_body();
        assert!(!holding.probe_is_over(0));
    }

    #[test]
    fn an_option_that_is_taken_away_is_missed_after_two_requests() {
        let holding = after(11);
        holding.on_body();
        assert!(holding.probe_is_over(0) && !holding.probe_is_over(1));
        assert!(!holding.on_late_body(11), "it may be chance");
        assert!(holding.probe_is_over(8) && !holding.probe_is_over(9));
        assert!(holding.on_late_body(11) && !holding.may_hold());
    }

    #[test]
    fn tap_reads_for_as_long_as_configured() {
        let holding = after(11);
        assert!(holding.reading_is_over(0) && !holding.reading_is_over(1));
    }

    #[test]
    fn a_body_that_was_only_waiting_for_its_headers_shows_that_the_option_is_missing() {
        let holding = after(3);
        assert!(holding.on_late_body(3) && !holding.on_late_body(3), "once");
        assert!(!holding.may_hold());
        (0..600).for_each(|_| holding.on_tick());
        assert!(
            holding.may_hold() && !holding.may_hold(),
            "one tries again after a minute"
        );
        holding.on_body();
        assert!(holding.may_hold() && holding.may_hold());
    }

    #[test]
    fn a_limit_of_the_proxy_that_was_met_holds_for_a_minute() {
        let holding = after(3);
        assert_eq!(holding.long_bytes(), LONG_BYTES);
        holding.on_long_body_stopped(40_000);
        (0..599).for_each(|_| holding.on_tick());
        assert_eq!(holding.long_bytes(), 40_000);
        holding.on_tick();
        assert_eq!(holding.long_bytes(), LONG_BYTES);
    }

    #[test]
    fn a_slow_client_does_not_look_like_a_missing_option() {
        let holding = after(3);
        holding.on_tick();
        assert!(
            !holding.on_late_body(3) && holding.may_hold(),
            "a tick later"
        );
        holding.on_body();
        assert!(
            !holding.on_late_body(4) && holding.may_hold(),
            "it has worked, and is tried again"
        );
    }
}
