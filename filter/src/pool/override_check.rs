//! Whether the proxy sends requests where it is told to.
//!
//! The commonest mistake of all cannot be read from a configuration that the filter sees: nothing takes the destination from the header, or
//! the cluster has other endpoints than the aggregator's table. All requests flow and are answered, all decisions are counted, and none
//! has any effect. It shows in where requests went at their first attempt, which is asked for some answers anyway (`outcome_sampling`).
//!
//! One that goes astray is no mistake: the proxy may think a host unhealthy, or the table be ahead of it. So each adds one, each that went
//! where it was told takes one off, and [`ASTRAY`] are a mistake: requests that the proxy spreads over four endpoints by itself get there
//! with some 16 answers, those that it takes elsewhere while fewer than half of the endpoints are unhealthy never do.

use std::cell::Cell;

/// So many more went astray than went where they were told.
const ASTRAY: u8 = 8;

/// What a worker has seen of one pool.
#[derive(Debug, Default)]
pub(crate) struct OverrideCheck {
    astray: Cell<u8>,
}

impl OverrideCheck {
    /// A request went where it was told.
    pub(crate) fn on_followed(&self) {
        self.astray.set(self.astray.get().saturating_sub(1));
    }

    /// A request went elsewhere at its first attempt. `true`: as most do.
    pub(crate) fn strays(&self) -> bool {
        let astray = self.astray.get().saturating_add(1).min(2 * ASTRAY);
        self.astray.set(astray);
        astray >= ASTRAY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of 400 requests meet a mistake when one of `every` goes where it is told, or all others do (`but_one`).
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
