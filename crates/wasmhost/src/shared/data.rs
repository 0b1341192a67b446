//! Shared key-value data with compare-and-swap.

use std::collections::BTreeMap;

use super::{MAX_BYTES, MAX_ITEMS};
use crate::abi::Status;

/// Keys, and values with the number of each value's last write.
#[derive(Debug, Default)]
pub(crate) struct Data {
    entries: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    bytes: usize,
    writes: u32,
}

impl Data {
    pub(crate) fn get(&self, key: &[u8]) -> Option<(&[u8], u32)> {
        self.entries
            .get(key)
            .map(|(value, cas)| (value.as_slice(), *cas))
    }

    /// Writes a value. `cas` 0 writes in any case. As in Envoy, a key that does not exist accepts
    /// any number.
    pub(crate) fn set(&mut self, key: &[u8], value: &[u8], cas: u32) -> Result<(), Status> {
        let old = self.entries.get(key);
        if old.is_some_and(|(_, current)| cas != 0 && cas != *current) {
            return Err(Status::CAS_MISMATCH);
        }
        let freed = old.map_or(0, |(value, _)| key.len() + value.len());
        let bytes = (self.bytes - freed)
            .saturating_add(key.len())
            .saturating_add(value.len());
        if bytes > MAX_BYTES || (old.is_none() && self.entries.len() >= MAX_ITEMS) {
            return Err(Status::INTERNAL_FAILURE);
        }
        self.bytes = bytes;
        // The count skips 0, which means "no number" to callers.
        self.writes = self.writes.checked_add(1).unwrap_or(1);
        self.entries
            .insert(key.to_vec(), (value.to_vec(), self.writes));
        Ok(())
    }

    pub(crate) fn keys(&self) -> Vec<Vec<u8>> {
        self.entries.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_writers_with_the_same_number_only_the_first_wins() {
        let mut data = Data::default();
        assert_eq!(data.set(b"k", b"0", 0), Ok(()));
        let (_, cas) = data.get(b"k").expect("written");
        assert_eq!(data.set(b"k", b"1", cas), Ok(()));
        assert_eq!(data.set(b"k", b"2", cas), Err(Status::CAS_MISMATCH));
        assert_eq!(
            data.get(b"k").map(|(value, _)| value.to_vec()),
            Some(b"1".to_vec())
        );
    }

    #[test]
    fn a_key_that_does_not_exist_takes_a_write_with_any_number() {
        assert_eq!(Data::default().set(b"k", b"v", 77), Ok(()));
    }

    #[test]
    fn bytes_beyond_the_bound_are_refused_and_overwriting_frees_the_old_ones() {
        let mut data = Data::default();
        let half = vec![0; MAX_BYTES / 2];
        for _ in 0..4 {
            assert_eq!(data.set(b"k", &half, 0), Ok(()));
        }
        assert_eq!(data.set(b"l", &half, 0), Err(Status::INTERNAL_FAILURE));
        assert!(data.get(b"l").is_none());
    }
}
