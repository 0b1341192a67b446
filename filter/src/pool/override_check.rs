//! Whether the proxy sends requests where the destination header says.
//!
//! The most common mistake of a setup: nothing takes the destination from the header, or the
//! cluster has other endpoints than the aggregator's table. No configuration that the filter sees
//! shows it. Requests are answered and decisions are counted, but no decision has any effect. The
//! mistake shows in where requests went at their first attempt. The filter asks for that with some
//! answers anyway (`outcome_sampling`).
//!
//! A single request that goes astray is no mistake: the proxy may consider a host unhealthy, or the
//! table may be ahead of the proxy. So each request that goes astray adds one to a count, and each
//! that follows takes one off. A count of [`ASTRAY`] is a mistake:
//!
//! - If the proxy spreads requests over four endpoints by itself, the count gets there with some 16
//!   answers.
//! - If the proxy takes requests elsewhere while fewer than half of the endpoints are unhealthy,
//!   the count never gets there.

use std::cell::Cell;

/// From this count on the setup is wrong: so many more requests went astray than followed.
const ASTRAY: u8 = 8;

/// What a worker has seen of one pool.
#[derive(Debug, Default)]
pub(crate) struct OverrideCheck {
    astray: Cell<u8>,
}

impl OverrideCheck {
    /// A request went where its destination header says.
    pub(crate) fn on_followed(&self) {
        self.astray.set(self.astray.get().saturating_sub(1));
    }

    /// A request went elsewhere at its first attempt. Returns `true` if most requests do.
    pub(crate) fn strays(&self) -> bool {
        let astray = self.astray.get().saturating_add(1).min(2 * ASTRAY);
        self.astray.set(astray);
        astray >= ASTRAY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many of 400 requests meet a mistake. `but_one`: one of `every` goes astray and
    /// all others follow; else the other way round.
    fn told(every: usize, but_one: bool) -> usize {
        let following = OverrideCheck::default();
        let mut told = 0;
        for nth in 1..=400 {
            if (nth % every == 0) == but_one {
                told += usize::from(following.strays());
            } else {
                following.on_followed();
            }
        }
        told
    }

    #[test]
    fn what_the_proxy_spreads_by_itself_is_a_mistake_and_a_host_out_of_order_is_none() {
        let after_first = usize::from(ASTRAY) - 1;
        assert_eq!(told(401, false), 400 - after_first, "none where it is told");
        assert!(told(3, false) > 200, "one of three by chance");
        assert_eq!((told(3, true), told(401, true)), (0, 0));
    }

    #[test]
    fn it_is_over_when_requests_go_where_they_are_told() {
        let following = OverrideCheck::default();
        (0..1_000).for_each(|_| _ = following.strays());
        (0..2 * ASTRAY).for_each(|_| following.on_followed());
        assert!(!following.strays());
    }
}
