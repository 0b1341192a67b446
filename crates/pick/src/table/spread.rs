//! Over how many endpoints a shared key is spread, and how likely they have it cached.

use crate::config::{
    ADAPTER_RANKS_PER_SHARE, FEW_RANKS, KEPT_S, LATER_SHARE, PREFIX_RANKS, PREFIX_RANKS_PER_SHARE,
    WARM_REQUESTS,
};
use crate::{Rng, Snapshot};

/// The ranks of one key: where its requests go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    key: u64,
    ranks: u32,
    /// How likely a rank after the first has in its cache what the key stands for, 0 to 1.
    warm: f64,
}

/// One rank that is to be weighed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rank {
    pub(crate) index: u32,
    /// The rank number that the rank penalty counts. 0 for all ranks of a hot key, because they are
    /// equal (docs/algorithm.md#spread).
    pub(crate) number: u32,
    /// How likely the endpoint has in its cache what the key stands for, 0 to 1.
    pub(crate) warm: f64,
}

impl Spread {
    /// Returns the ranks of a shared beginning.
    ///
    /// A later rank of a rare beginning has it cached only if recent requests were too many for the
    /// first rank. The reference rule (docs/algorithm.md#departures) assumes that every later rank
    /// has it, which sends requests to where they miss. p99 TTFT with 500 shared beginnings:
    ///
    /// | later ranks count as cached | p99 TTFT |
    /// |---|---|
    /// | always, as in the reference rule | 0.49 s |
    /// | by share of the traffic | 0.29 s |
    /// | where the contents of caches are known | 0.18 s |
    pub(crate) fn of_prefix(key: u64, snapshot: &Snapshot) -> Self {
        let Some(share) = snapshot.share(key) else {
            return Self {
                key,
                ranks: PREFIX_RANKS,
                warm: 1.0,
            };
        };
        let pool = snapshot.pool();
        let kept_s = pool.kept_s.map_or(KEPT_S, f64::from).max(0.0);
        // Requests with the key while a cache keeps it. Infinite where the arrival rate is unknown.
        let requests = pool.arrival_rate.map_or(f64::INFINITY, |per_s| {
            share * f64::from(per_s).max(0.0) * kept_s
        });
        let wanted = ranks(PREFIX_RANKS_PER_SHARE * share, snapshot);
        // No more ranks than stay warm. `as` saturates, and NaN becomes 0.
        let most = (requests / WARM_REQUESTS) as u32;
        Self {
            key,
            ranks: wanted.min(most).max(PREFIX_RANKS),
            warm: 1.0 - libm::exp(-LATER_SHARE * requests),
        }
    }

    /// Returns the ranks of an adapter. The table says whether an endpoint has it. More ranks would
    /// evict other adapters.
    pub(crate) fn of_adapter(key: u64, snapshot: &Snapshot) -> Self {
        let share = snapshot.share(key).unwrap_or(0.0);
        Self {
            key,
            ranks: ranks(ADAPTER_RANKS_PER_SHARE * share, snapshot).max(PREFIX_RANKS),
            warm: 1.0,
        }
    }

    /// How many ranks there are.
    pub(crate) fn len(&self) -> u32 {
        self.ranks
    }

    /// Calls `each` with the ranks that a request looks at: all if they are few, else some that are
    /// drawn.
    pub(crate) fn each(&self, snapshot: &Snapshot, rng: &mut Rng, mut each: impl FnMut(Rank)) {
        for nth in 0..self.ranks.min(FEW_RANKS) {
            let (rank, number) = match self.ranks <= FEW_RANKS {
                true => (nth, nth),
                false => ((rng.unit() * f64::from(self.ranks)) as u32, 0),
            };
            if let Some(index) = snapshot.rank(self.key, rank) {
                let warm = self.warm(number);
                each(Rank {
                    index,
                    number,
                    warm,
                });
            }
        }
    }

    /// Returns how likely the endpoint at `index` has it cached, by its rank, 0 to 1. O(ranks).
    pub(crate) fn warm_at(&self, index: u32, snapshot: &Snapshot) -> f64 {
        let few = self.ranks <= FEW_RANKS;
        let rank = (0..self.ranks).find(|rank| snapshot.rank(self.key, *rank) == Some(index));
        rank.map_or(0.0, |rank| self.warm(if few { rank } else { 0 }))
    }

    fn warm(&self, number: u32) -> f64 {
        match number {
            0 => 1.0,
            _ => self.warm,
        }
    }
}

/// Returns as many ranks as `part` of the endpoints, rounded up.
fn ranks(part: f64, snapshot: &Snapshot) -> u32 {
    let endpoints = snapshot.choosable().len() as f64;
    libm::ceil(part * endpoints).min(endpoints) as u32
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::golden::idle;
    use crate::{Millis, PoolFacts};

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const KEY: u64 = 77;

    fn spread(share: Option<f32>, arrival_rate: Option<f32>, kept_s: Option<f32>) -> Spread {
        let pool = PoolFacts {
            arrival_rate,
            kept_s,
            ..PoolFacts::default()
        };
        let snapshot = Snapshot::new((0..64).map(idle).collect(), pool, Millis(0));
        let snapshot = match share {
            Some(share) => snapshot.with_heat(Vec::from([(KEY, share)])),
            None => snapshot,
        };
        Spread::of_prefix(KEY, &snapshot)
    }

    #[test]
    fn a_prefix_has_six_times_its_share_of_the_endpoints_but_no_more_than_stay_warm() {
        assert_eq!(spread(None, Some(100.0), None).len(), 2);
        assert_eq!(spread(Some(0.0), Some(100.0), None).len(), 2);
        assert_eq!(spread(Some(0.125), Some(100.0), None).len(), 48);
        assert_eq!(spread(Some(1.0), None, None).len(), 64);
        // 12.5 requests per second while a cache keeps it for 4 s, three for each rank.
        assert_eq!(spread(Some(0.125), Some(100.0), Some(4.0)).len(), 16);
    }

    #[test]
    fn later_ranks_are_believed_in_by_how_many_requests_they_get() {
        let warm = |share, per_s, kept_s| {
            let spread = spread(share, per_s, kept_s);
            assert_eq!(spread.warm(0), 1.0);
            spread.warm(1)
        };
        // One request in ten of 0.5 per second, for 20 s.
        let one = warm(Some(0.005), Some(100.0), Some(20.0));
        assert!((one - (1.0 - libm::exp(-1.0))).abs() < 1e-6, "{one}");
        assert_eq!(warm(Some(0.0), Some(100.0), None), 0.0);
        for (share, per_s) in [(None, Some(100.0)), (Some(0.005), None)] {
            assert_eq!(warm(share, per_s, None), 1.0);
        }
    }
}
