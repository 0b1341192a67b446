//! Which clients an endpoint refuses, while it may serve others.
//!
//! A limit often holds for one API key, tenant or adapter. The requests of a refused client go to
//! other endpoints where they can, for as long as the endpoint asked, and everybody else's go on as
//! before.
//!
//! Some clients look alike here, because a gateway in front has one key for all. The first time is
//! short for that reason. If the endpoint serves such a client within the time for which it refused
//! one, its refusals mean nothing for a while.

use alloc::vec::Vec;

use crate::{EndpointId, Millis};

/// Most refusals that are remembered. A new one takes the place of the oldest.
const MOST: usize = 64;
/// A client first goes elsewhere for this long, in milliseconds. This is longer than an endpoint's
/// first rest, so that others show first whether it serves them. Each further refusal doubles it,
/// up to what the endpoint asks for.
const FIRST_MS: u64 = 2_000;
/// For so long the refusals of a client mean nothing that was served in spite of one.
const ALIKE_MS: u64 = 60_000;

#[derive(Debug, Clone, Copy)]
struct Refusal {
    client: u32,
    endpoint: EndpointId,
    /// When the client was refused, or served in spite of it.
    since: Millis,
    /// How long the client goes elsewhere, in milliseconds. 0: it was served in spite of a refusal.
    for_ms: u64,
    /// What the endpoint asked for, in milliseconds.
    asked_ms: u64,
}

impl Refusal {
    /// Whether fewer than `ms` milliseconds have passed. After the clock stepped back, none count.
    fn is_within(&self, now: Millis, ms: u64) -> bool {
        now >= self.since && now.since(self.since) < ms
    }
}

/// The last refusals.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    all: Vec<Refusal>,
}

impl Refusals {
    fn find(&self, client: u32, endpoint: EndpointId) -> Option<&Refusal> {
        let mut all = self.all.iter();
        all.find(|one| one.client == client && one.endpoint == endpoint)
    }

    /// Whether requests of the client should go elsewhere.
    pub(super) fn refuses(&self, now: Millis, client: u32, endpoint: EndpointId) -> bool {
        let refusal = self.find(client, endpoint);
        refusal.is_some_and(|one| one.is_within(now, one.for_ms))
    }

    /// Whether the endpoint has refused the client and does not expect it yet.
    pub(super) fn is_recent(&self, now: Millis, client: u32, endpoint: EndpointId) -> bool {
        let refusal = self.find(client, endpoint);
        refusal.is_some_and(|one| one.is_within(now, one.asked_ms))
    }

    /// Records a refusal.
    ///
    /// - `client`: 0: unknown. Nothing is recorded then.
    /// - `asked_ms`: 0: the endpoint does not ask to be left alone.
    pub(super) fn on_refused(
        &mut self,
        now: Millis,
        client: u32,
        endpoint: EndpointId,
        asked_ms: u64,
    ) {
        if client == 0 || asked_ms == 0 {
            return;
        }
        let known = self.find(client, endpoint).copied();
        // A request that was sent before shows nothing new.
        let holds = |one: Refusal| match one.for_ms {
            0 => one.is_within(now, ALIKE_MS),
            for_ms => one.is_within(now, for_ms),
        };
        if known.is_some_and(holds) {
            return;
        }
        let last_ms = known.map_or(0, |one| one.for_ms);
        self.put(Refusal {
            client,
            endpoint,
            since: now,
            for_ms: last_ms.saturating_mul(2).max(FIRST_MS).min(asked_ms),
            asked_ms,
        });
    }

    /// Records that the endpoint has served the client, by a request that was sent when
    /// [`Self::is_recent`] said so.
    pub(super) fn on_served(&mut self, now: Millis, client: u32, endpoint: EndpointId) {
        if self.find(client, endpoint).is_some() {
            self.put(Refusal {
                client,
                endpoint,
                since: now,
                for_ms: 0,
                asked_ms: 0,
            });
        }
    }

    fn put(&mut self, new: Refusal) {
        let is_same = |one: &Refusal| one.client == new.client && one.endpoint == new.endpoint;
        self.all.retain(|one| !is_same(one));
        if self.all.len() >= MOST {
            self.all.remove(0);
        }
        self.all.push(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const A: EndpointId = EndpointId(1);

    #[test]
    fn a_client_goes_elsewhere_for_twice_as_long_each_time_up_to_what_was_asked() {
        let mut refusals = Refusals::default();
        let mut now = Millis(5_000);
        for for_ms in [2_000, 4_000, 8_000, 10_000, 10_000] {
            for _ in 0..3 {
                refusals.on_refused(now, 7, A, 10_000);
            }
            now.0 += for_ms - 1;
            assert!(refusals.refuses(now, 7, A), "{for_ms}");
            assert!(!refusals.refuses(now, 8, A) && !refusals.refuses(now, 7, EndpointId(2)));
            now.0 += 1;
            assert!(!refusals.refuses(now, 7, A), "{for_ms}");
        }
        refusals.on_refused(now, 0, A, 10_000);
        refusals.on_refused(now, 9, A, 0);
        refusals.on_refused(now, 10, A, 300);
        assert!(!refusals.refuses(now, 0, A) && !refusals.refuses(now, 9, A));
        assert!(refusals.refuses(now, 10, A) && !refusals.refuses(Millis(now.0 + 300), 10, A));
        assert!(
            !refusals.refuses(Millis(4), 10, A),
            "the clock stepped back"
        );
    }

    #[test]
    fn a_client_that_is_served_in_spite_of_a_refusal_is_several_clients() {
        let mut refusals = Refusals::default();
        refusals.on_refused(Millis(0), 7, A, 30_000);
        assert!(refusals.is_recent(Millis(2_500), 7, A) && !refusals.refuses(Millis(2_500), 7, A));
        assert!(!refusals.is_recent(Millis(30_000), 7, A));
        refusals.on_served(Millis(2_500), 7, A);
        refusals.on_refused(Millis(3_000), 7, A, 30_000);
        assert!(!refusals.refuses(Millis(3_000), 7, A));
        refusals.on_refused(Millis(62_500), 7, A, 30_000);
        assert!(refusals.refuses(Millis(62_500), 7, A));
    }

    #[test]
    fn only_the_last_are_remembered() {
        let mut refusals = Refusals::default();
        for client in 1..=1_000 {
            refusals.on_refused(Millis(0), client, A, 1_000);
        }
        assert_eq!(refusals.all.len(), MOST);
        let kept = (1..=1_000).filter(|client| refusals.refuses(Millis(1), *client, A));
        assert_eq!(kept.count(), MOST);
        assert!(refusals.refuses(Millis(1), 1_000, A));
    }
}
