//! Header maps as a proxy keeps them, and their serialised form.

/// Headers in the order in which they came. Names are in lower case and may repeat. Values are any
/// bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderMap {
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Why bytes are no serialised map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "serialised header map is cut short, or a name or value does not end in NUL where its length says"
)]
pub struct MalformedPairs;

impl HeaderMap {
    /// Makes an empty map.
    #[must_use]
    pub const fn new() -> Self {
        Self { pairs: Vec::new() }
    }

    /// Returns the first value under `name`.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.pairs
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }

    /// Returns the first value under `name` as text. Returns `None` also if it is not UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name.as_bytes())
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Adds a value under `name` and keeps existing ones.
    pub fn add(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.pairs
            .push((name.as_ref().to_ascii_lowercase(), value.as_ref().to_vec()));
    }

    /// Makes `value` the only value under `name`.
    pub fn replace(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.remove(name.as_ref());
        self.add(name, value);
    }

    /// Removes every value under `name`. Returns how many there were.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) -> usize {
        let before = self.pairs.len();
        self.pairs
            .retain(|(own, _)| !own.eq_ignore_ascii_case(name.as_ref()));
        before - self.pairs.len()
    }

    /// Returns names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.pairs
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    /// Returns the number of pairs.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Returns whether there are no pairs.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Returns the ABI's form:
    ///
    /// 1. the number of pairs
    /// 2. the lengths of every name and value (u32, little endian)
    /// 3. each name and each value, followed by one NUL byte
    ///
    /// NUL bytes *inside* a value are kept, because the lengths decide.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let payload: usize = self
            .pairs
            .iter()
            .map(|(name, value)| name.len() + value.len() + 10)
            .sum();
        let mut bytes = Vec::with_capacity(4 + payload);
        let length = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        bytes.extend_from_slice(&length(self.pairs.len()));
        for (name, value) in &self.pairs {
            bytes.extend_from_slice(&length(name.len()));
            bytes.extend_from_slice(&length(value.len()));
        }
        for (name, value) in &self.pairs {
            for part in [name, value] {
                bytes.extend_from_slice(part);
                bytes.push(0);
            }
        }
        bytes
    }

    /// Reads the ABI's form. No bytes at all give the empty map.
    ///
    /// # Errors
    /// Returns an error if the bytes end early, or a NUL is not where the lengths put it. Allocates
    /// nothing for lengths beyond the input.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MalformedPairs> {
        if bytes.is_empty() {
            return Ok(Self::new());
        }
        let (count, rest) = number(bytes)?;
        let table = count.checked_mul(8).ok_or(MalformedPairs)?;
        let (mut lengths, mut payload) = rest.split_at_checked(table).ok_or(MalformedPairs)?;
        let mut map = Self::new();
        while !lengths.is_empty() {
            let (name_len, rest) = number(lengths)?;
            let (value_len, rest) = number(rest)?;
            lengths = rest;
            let name = part(&mut payload, name_len)?;
            let value = part(&mut payload, value_len)?;
            map.add(name, value);
        }
        Ok(map)
    }
}

fn number(bytes: &[u8]) -> Result<(usize, &[u8]), MalformedPairs> {
    let (head, rest) = bytes.split_first_chunk::<4>().ok_or(MalformedPairs)?;
    Ok((
        usize::try_from(u32::from_le_bytes(*head)).map_err(|_| MalformedPairs)?,
        rest,
    ))
}

fn part<'a>(payload: &mut &'a [u8], len: usize) -> Result<&'a [u8], MalformedPairs> {
    let (part, rest) = payload.split_at_checked(len).ok_or(MalformedPairs)?;
    let (nul, rest) = rest.split_first().ok_or(MalformedPairs)?;
    if *nul != 0 {
        return Err(MalformedPairs);
    }
    *payload = rest;
    Ok(part)
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for HeaderMap {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut map = Self::new();
        for (name, value) in pairs {
            map.add(name, value);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_survive_the_serialised_form_with_nul_and_odd_bytes_inside() {
        let map: HeaderMap = [(&b"a"[..], &b""[..]), (b"b", b"x\0y"), (b"a", b"\xff\xfe")]
            .into_iter()
            .collect();
        assert_eq!(HeaderMap::from_bytes(&map.to_bytes()), Ok(map));
        assert_eq!(HeaderMap::from_bytes(&[]), Ok(HeaderMap::new()));
        assert_eq!(HeaderMap::new().to_bytes(), [0, 0, 0, 0]);
    }

    #[test]
    fn a_serialised_map_cut_at_any_byte_is_refused() {
        let bytes: Vec<u8> = [("name", "value"), ("n", "v")]
            .into_iter()
            .collect::<HeaderMap>()
            .to_bytes();
        for end in 1..bytes.len() {
            assert_eq!(
                HeaderMap::from_bytes(&bytes[..end]),
                Err(MalformedPairs),
                "cut at {end}"
            );
        }
    }

    #[test]
    fn lengths_beyond_the_input_are_refused_without_allocating_for_them() {
        assert_eq!(HeaderMap::from_bytes(&[0xff; 4]), Err(MalformedPairs));
        assert_eq!(
            HeaderMap::from_bytes(&[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 65]),
            Err(MalformedPairs)
        );
    }

    #[test]
    fn names_are_compared_without_case_and_replace_leaves_one_value() {
        let mut map: HeaderMap = [("X-A", "1"), ("x-a", "2"), ("y", "3")]
            .into_iter()
            .collect();
        assert_eq!(map.text("x-A"), Some("1"));
        map.replace("X-a", "4");
        assert_eq!(map.iter().filter(|(name, _)| *name == b"x-a").count(), 1);
        assert_eq!((map.remove("X-A"), map.remove("X-A")), (1, 0));
    }
}
