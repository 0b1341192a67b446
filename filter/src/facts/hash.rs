//! Keyed hashes of what prompts share.

use core::hash::Hasher as _;

use siphasher::sip::SipHasher13;

/// The pool's placement key, as SipHash takes it. Without it nobody can aim requests at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct HashKey(u64, u64);

impl HashKey {
    /// The key of a load table.
    pub(crate) fn new(bytes: [u8; 16]) -> Self {
        let both = u128::from_le_bytes(bytes);
        #[allow(clippy::cast_possible_truncation, reason = "the two halves")]
        Self(both as u64, (both >> 64) as u64)
    }

    /// Hash of one text for one purpose.
    pub(crate) fn hash(self, purpose: Purpose, text: &[u8]) -> u64 {
        let mut hasher = Hasher::new(self, purpose);
        hasher.write(text);
        hasher.finish()
    }
}

/// What a hash is for. The same text hashed for two purposes gives two unrelated numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    System = 1,
    Tools = 2,
    Head = 3,
    Message = 4,
    Conversation = 5,
    Session = 6,
    Adapter = 7,
    Prefix = 8,
}

/// A running hash. SipHash-1-3 and not 2-4: the hashes are never shown to those who choose the text, and it is twice as fast.
#[derive(Debug, Clone)]
pub(crate) struct Hasher(SipHasher13);

impl Hasher {
    pub(crate) fn new(key: HashKey, purpose: Purpose) -> Self {
        let mut hasher = SipHasher13::new_with_keys(key.0, key.1);
        hasher.write(&[purpose as u8]);
        Self(hasher)
    }

    /// Adds bytes; how they are cut into calls makes no difference.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// Adds another hash.
    pub(crate) fn mix(mut self, hash: u64) -> Self {
        self.0.write(&hash.to_le_bytes());
        self
    }

    pub(crate) fn finish(&self) -> u64 {
        self.0.finish()
    }
}
