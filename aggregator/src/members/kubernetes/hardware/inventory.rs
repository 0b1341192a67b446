//! Finds devices in the slices of their pools.

use super::device::Device;
use super::slice::Slice;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The devices of all pools whose slices are all there.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    /// The slices of the newest generation, by driver and then by pool.
    pools: BTreeMap<String, BTreeMap<String, Vec<Arc<Slice>>>>,
}

impl Inventory {
    /// Takes the slices of each pool's highest generation. A pool of which some are missing is left
    /// out, since its driver is still writing it.
    pub(super) fn of(slices: impl IntoIterator<Item = Arc<Slice>>) -> Self {
        let mut pools: BTreeMap<String, BTreeMap<String, Vec<Arc<Slice>>>> = BTreeMap::new();
        for slice in slices {
            let pool = pools.entry(slice.driver.clone()).or_default();
            let pool = pool.entry(slice.pool.clone()).or_default();
            let newest = pool.first().map(|first| first.generation);
            match newest.map(|newest| newest.cmp(&slice.generation)) {
                Some(std::cmp::Ordering::Greater) => continue,
                Some(std::cmp::Ordering::Less) => pool.clear(),
                _ => {}
            }
            pool.push(slice);
        }
        let is_whole = |slices: &mut Vec<Arc<Slice>>| {
            slices
                .iter()
                .all(|slice| u64::try_from(slices.len()) == Ok(slice.slices))
        };
        for pools in pools.values_mut() {
            pools.retain(|_, slices| is_whole(slices));
        }
        Self { pools }
    }

    /// Returns a device. `None`: it is not known.
    pub(super) fn device(&self, driver: &str, pool: &str, device: &str) -> Option<&Device> {
        let slices = self.pools.get(driver)?.get(pool)?;
        slices.iter().find_map(|slice| slice.device(device))
    }
}
