//! Which of a proxy's workers syncs.
//!
//! Comes in: the lease as it stands, the time, who asks. Goes out: whether to hold, take or leave
//! it. Never: a hostcall.
//!
//! The first worker that asks gets the lease until it expires. There is one exception. Envoy
//! configures a plugin first in a canary VM that it drops at once, then in the main thread's VM,
//! then in the workers' VMs. The main thread never sees a request, so it is the best place to sync.
//! While a VM is being configured, it may therefore claim a lease that one other VM has claimed the
//! same way and not used yet: that other VM was the canary. Otherwise the sync would start on a
//! random worker, and only after the canary's lease has expired.

use crate::sync::shared::Lease;

/// How long a lease holds, in milliseconds: several ticks, so that one slow tick does not lose it.
pub(crate) const LEASE_MS: u64 = 2_000;
const LEASE_NS: u64 = LEASE_MS * 1_000_000;
/// The most claims at configure time: the canary's and the main thread's.
const CONFIGURE_CLAIMS: u64 = 2;

/// What to do about the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// This worker holds it.
    Hold,
    /// Another worker holds it.
    Leave,
    /// Write this with compare-and-swap; on success this worker holds it.
    Write(Lease),
}

/// When a worker asks for the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// While the VM is being configured.
    Configure,
    /// At any later time.
    Tick,
}

/// Whether the lease holds at this time.
pub(crate) fn is_current(lease: &Lease, now_ns: u64) -> bool {
    // No worker writes a later expiry. If there is one, the clock has stepped back.
    let latest_ns = now_ns.saturating_add(LEASE_NS);
    lease.expires_ns > now_ns && lease.expires_ns <= latest_ns
}

/// Decides what this worker does about the lease.
///
/// - `current`: the lease as it stands; absent: there is none.
/// - `me`: this worker's number.
/// - `when`: whether this VM is being configured.
/// - `fresh_proxy`: a number for this proxy, if it has none yet.
pub(crate) fn step(
    current: Option<Lease>,
    me: u64,
    now_ns: u64,
    when: When,
    fresh_proxy: u64,
) -> Step {
    let expires_ns = now_ns.saturating_add(LEASE_NS);
    let Some(lease) = current else {
        return Step::Write(Lease {
            holder: me,
            expires_ns,
            proxy: fresh_proxy,
            sequence: 0,
            claims: u64::from(when == When::Configure),
        });
    };
    let expired = !is_current(&lease, now_ns);
    if lease.holder == me && !expired {
        let used_half = lease.expires_ns - now_ns < LEASE_NS / 2;
        return if used_half {
            Step::Write(Lease {
                expires_ns,
                claims: 0,
                ..lease
            })
        } else {
            Step::Hold
        };
    }
    let is_canarys = when == When::Configure && (1..CONFIGURE_CLAIMS).contains(&lease.claims);
    if expired || is_canarys {
        let claims = if is_canarys { lease.claims + 1 } else { 0 };
        return Step::Write(Lease {
            holder: me,
            expires_ns,
            claims,
            ..lease
        });
    }
    Step::Leave
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn written(step: Step) -> Lease {
        match step {
            Step::Write(lease) => lease,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_main_thread_takes_it_from_the_canary_and_keeps_it_from_the_workers() {
        let canary = written(step(None, 1, 10 * S, When::Configure, 77));
        let main = written(step(Some(canary), 2, 10 * S, When::Configure, 78));
        assert_eq!((main.holder, main.proxy), (2, 77));
        assert_eq!(
            step(Some(main), 3, 10 * S, When::Configure, 79),
            Step::Leave
        );
        assert_eq!(step(Some(main), 4, 10 * S, When::Tick, 80), Step::Leave);
        assert_eq!(step(Some(main), 2, 10 * S, When::Tick, 80), Step::Hold);
    }

    #[test]
    fn a_lease_in_use_survives_a_new_configuration() {
        let first = written(step(None, 1, 0, When::Configure, 7));
        let renewed = written(step(Some(first), 1, LEASE_NS * 3 / 4, When::Tick, 7));
        assert_eq!(
            step(Some(renewed), 2, LEASE_NS, When::Configure, 8),
            Step::Leave
        );
    }

    #[test]
    fn it_is_renewed_before_it_expires_and_taken_after() {
        let mut lease = written(step(None, 1, 0, When::Tick, 7));
        let mut now_ns = 0;
        for _ in 0..100 {
            now_ns += LEASE_NS / 5;
            if let Step::Write(renewed) = step(Some(lease), 1, now_ns, When::Tick, 8) {
                lease = renewed;
            }
            assert_eq!(step(Some(lease), 2, now_ns, When::Tick, 9), Step::Leave);
        }
        let taken = written(step(
            Some(Lease {
                sequence: 41,
                ..lease
            }),
            2,
            now_ns + LEASE_NS,
            When::Tick,
            9,
        ));
        assert_eq!((taken.holder, taken.proxy, taken.sequence), (2, 7, 41));
    }

    #[test]
    fn a_clock_that_steps_back_does_not_keep_a_dead_holder() {
        let lease = written(step(None, 1, 1_000 * S, When::Tick, 7));
        assert_eq!(
            written(step(Some(lease), 2, 500 * S, When::Tick, 8)).holder,
            2
        );
    }
}
