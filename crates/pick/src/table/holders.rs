//! Which endpoints hold an adapter.

use alloc::vec;
use alloc::vec::Vec;

use crate::EndpointLoad;

/// Endpoints by adapter. The lists of all adapters stand one behind the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holders {
    /// Where the list of each adapter ends. It begins where the list before it ends.
    ends: Vec<u32>,
    endpoints: Vec<u32>,
}

impl Holders {
    /// Lists the holders among `choosable`, which are positions in `endpoints`. O(adapters of all
    /// endpoints).
    pub(crate) fn new(endpoints: &[EndpointLoad], choosable: &[u32]) -> Self {
        let held = || {
            choosable.iter().flat_map(|index| {
                let endpoint = endpoints.get(*index as usize);
                let adapters = endpoint.and_then(|endpoint| endpoint.adapters.as_deref());
                let adapters = adapters.unwrap_or_default().iter();
                adapters.map(move |adapter| (usize::from(*adapter), *index))
            })
        };
        let Some(most) = held().map(|(adapter, _)| adapter).max() else {
            return Self::default();
        };
        // Count the holders, sum up to where each list begins, then fill the lists. Filling moves
        // each begin to its end.
        let mut ends = vec![0_u32; most + 2];
        for (adapter, _) in held() {
            if let Some(count) = ends.get_mut(adapter + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for end in &mut ends {
            sum += *end;
            *end = sum;
        }
        let mut list = vec![0; sum as usize];
        for (adapter, index) in held() {
            if let Some(next) = ends.get_mut(adapter)
                && let Some(slot) = list.get_mut(*next as usize)
            {
                *slot = index;
                *next += 1;
            }
        }
        Self {
            ends,
            endpoints: list,
        }
    }

    /// Returns the endpoints that hold `adapter`, in the order of `choosable`.
    pub(crate) fn of(&self, adapter: u16) -> &[u32] {
        let adapter = usize::from(adapter);
        let begin = adapter
            .checked_sub(1)
            .and_then(|before| self.ends.get(before));
        let range = begin.copied().unwrap_or(0) as usize
            ..self.ends.get(adapter).copied().unwrap_or(0) as usize;
        self.endpoints.get(range).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::golden::idle;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn every_adapter_has_the_endpoints_that_name_it() {
        let mut rng = Rng::new(3);
        for adapters in [0_u16, 1, 7, 40] {
            let endpoints: Vec<EndpointLoad> = (0..30)
                .map(|number| {
                    let list = (0..adapters).filter(|_| rng.unit() < 0.2).collect();
                    EndpointLoad {
                        adapters: (number % 5 > 0).then_some(list),
                        ..idle(number)
                    }
                })
                .collect();
            let choosable: Vec<u32> = (0..30).filter(|index| index % 7 > 0).collect();
            let holders = Holders::new(&endpoints, &choosable);
            for adapter in 0..adapters + 2 {
                let names = |index: &&u32| {
                    let list = endpoints[**index as usize].adapters.as_deref();
                    list.is_some_and(|list| list.contains(&adapter))
                };
                let expected: Vec<u32> = choosable.iter().filter(names).copied().collect();
                assert_eq!(holders.of(adapter), expected, "{adapter}");
            }
            assert!(holders.of(u16::MAX).is_empty());
        }
    }
}
