//! The age of a table that was encoded earlier.

use prost::encoding::{WireType, encode_key, encode_varint};

/// Returns `encoded` with its age replaced by `age_ms`, in milliseconds. For a publisher that
/// encodes a table once and sends it at several times.
///
/// The table is not decoded. The age is appended, and of a field that occurs twice the last value
/// counts (Protocol Buffers' rule for scalars). Cost: one copy.
#[must_use]
pub fn with_age(encoded: &[u8], age_ms: u32) -> Vec<u8> {
    // Tag and varint take at most six bytes.
    let mut bytes = Vec::with_capacity(encoded.len() + 6);
    bytes.extend_from_slice(encoded);
    encode_key(crate::wire::TABLE_AGE_TAG, WireType::Varint, &mut bytes);
    encode_varint(u64::from(age_ms), &mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::{Demand, Table, Version};

    #[test]
    fn only_the_age_changes() {
        let table = Table {
            pool: "chat".into(),
            version: Version {
                epoch: 7,
                sequence: 3,
            },
            age_ms: 5,
            deciders: Some(2),
            demand: Demand::default(),
            placement_key: [9; 16],
            classes: Vec::new(),
            adapters: Vec::new(),
            endpoints: Vec::new(),
            heat: None,
            moved: None,
            probes: vec![],
            held: vec![],
        };
        for age_ms in [0, 1, 127, 128, u32::MAX] {
            let aged = Table::decode(&with_age(&table.encode(), age_ms));
            assert_eq!(
                aged,
                Ok(Table {
                    age_ms,
                    ..table.clone()
                })
            );
        }
    }
}
