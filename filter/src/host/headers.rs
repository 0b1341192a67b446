//! The serialised form of a header map: the count, then the sizes of all names and values, then all
//! names and values, each ended by NUL.

/// All headers of a map, in the proxy's order. Names may repeat. Names and values are bytes: a
/// header need not be UTF-8.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeaderPairs {
    serialized: Vec<u8>,
    count: usize,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    usize::try_from(u32::from_le_bytes(four.try_into().ok()?)).ok()
}

impl HeaderPairs {
    /// Checks once that every size lies within the bytes. Returns `None` if the host broke the
    /// format.
    pub(crate) fn parse(serialized: Vec<u8>) -> Option<Self> {
        if serialized.is_empty() {
            return Some(Self::default());
        }
        let count = u32_at(&serialized, 0)?;
        let mut end = count.checked_mul(8)?.checked_add(4)?;
        if end > serialized.len() {
            return None;
        }
        for index in 0..count {
            let name = u32_at(&serialized, 4 + index * 8)?;
            let value = u32_at(&serialized, 8 + index * 8)?;
            end = end.checked_add(name)?.checked_add(value)?.checked_add(2)?;
        }
        (end <= serialized.len()).then_some(Self { serialized, count })
    }

    #[cfg(test)]
    pub(crate) fn of(headers: &[(&str, &str)]) -> Self {
        Self::parse(serialize(headers)).unwrap()
    }

    /// Returns names and values in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut at = 4 + self.count * 8;
        (0..self.count).map_while(move |index| {
            let name_len = u32_at(&self.serialized, 4 + index * 8)?;
            let value_len = u32_at(&self.serialized, 8 + index * 8)?;
            let name = self.serialized.get(at..at + name_len)?;
            let value_at = at + name_len + 1;
            let value = self.serialized.get(value_at..value_at + value_len)?;
            at = value_at + value_len + 1;
            Some((name, value))
        })
    }
}

/// Returns the serialised form of `headers`.
pub(super) fn serialize(headers: &[(&str, &str)]) -> Vec<u8> {
    let size_of = |text: &str| u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = Vec::with_capacity(128);
    out.extend(
        u32::try_from(headers.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    for (name, value) in headers {
        out.extend(size_of(name));
        out.extend(size_of(value));
    }
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        out.extend(text.as_bytes());
        out.push(0);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{HeaderPairs, serialize};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn headers_survive_the_round_trip(headers in prop::collection::vec(("[a-z:-]{0,12}", ".{0,20}"), 0..12)) {
            let borrowed: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let parsed = HeaderPairs::parse(serialize(&borrowed)).unwrap();
            let back: Vec<(&[u8], &[u8])> = parsed.iter().collect();
            let expected: Vec<(&[u8], &[u8])> = borrowed.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
            prop_assert_eq!(back, expected);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(pairs) = HeaderPairs::parse(bytes.clone()) {
                prop_assert!(pairs.iter().map(|(n, v)| n.len() + v.len() + 2).sum::<usize>() <= bytes.len());
            }
        }
    }

    #[test]
    fn a_count_beyond_the_bytes_is_refused() {
        assert!(HeaderPairs::parse(vec![255, 255, 255, 255]).is_none());
        assert!(HeaderPairs::parse(vec![1, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0]).is_none());
    }
}
