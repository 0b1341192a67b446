//! Hashes of what prompts share: a digest while reading, a keyed hash when placing.
//!
//! The body is read before a pool is chosen, and a table may change the key in between. So contents
//! are digested under a constant, and only [`HashKey::seal`] adds the pool's key. Placement uses
//! only sealed digests, and only those leave the proxy.
//!
//! A client knows the constant, so it can make two texts with the same XXH64 digest. That gains
//! nothing:
//!
//! - Such texts count as one, as if the client had sent the same text twice. There are cheaper ways
//!   to claim a beginning that no server has, for example a session of its own.
//! - To produce the digest of somebody else's text, the client must know that text. Then it can
//!   also send it.
//! - Where a digest is placed follows from the seal, and the seal needs the pool's key.

use core::hash::Hasher as _;

use siphasher::sip::SipHasher13;
use twox_hash::XxHash64;

/// The pool's placement key, in SipHash's form. Without it nobody can aim requests at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct HashKey(u64, u64);

impl HashKey {
    /// Reads the key of a load table.
    pub(crate) fn new(bytes: [u8; 16]) -> Self {
        let both = u128::from_le_bytes(bytes);
        #[allow(clippy::cast_possible_truncation, reason = "the two halves")]
        Self(both as u64, (both >> 64) as u64)
    }

    /// Returns the number by which the pool places. Digests of different purposes give unrelated
    /// numbers, and so do different keys.
    pub(crate) fn seal(self, digest: Digest) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write(&digest.0.to_le_bytes());
        hasher.finish()
    }
}

/// Stands for a text, without a secret. It must not be used for placing, shown or sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest(u64);

impl Digest {
    /// Digests one text for one purpose.
    pub(crate) fn of(purpose: Purpose, text: &[u8]) -> Self {
        let mut hasher = Hasher::new(purpose);
        hasher.write(text);
        hasher.digest()
    }

    /// Returns the digest under a salt, which keeps caches apart. Absent: unchanged.
    pub(crate) fn salted(self, salt: Option<Self>) -> Self {
        let Some(salt) = salt else { return self };
        let mut both = Hasher::new(Purpose::Salt);
        both.add(salt);
        both.add(self);
        both.digest()
    }

    /// Returns all bits, for uses within this proxy.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// Returns a part of the bits, never 0: enough to tell a few texts apart within this worker.
    pub(crate) fn short(self) -> u32 {
        #[allow(clippy::cast_possible_truncation, reason = "the lower half")]
        let lower = self.0 as u32;
        lower.max(1)
    }
}

/// What a digest is for. The same text digested for two purposes gives two unrelated digests.
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
    Media = 9,
    Field = 10,
    Salt = 11,
    Held = 12,
    Client = 13,
}

/// A running digest: XXH64. It needs no products wider than 64 bits, so it is fast in a VM too.
/// Every byte of a prompt's beginning goes through two of them.
///
/// Rejected: SipHash-1-3. Under a known key it promises no more, and 16 KiB took 5 us longer (of
/// 13) in a VM.
#[derive(Debug, Clone)]
pub(crate) struct Hasher(XxHash64);

impl Hasher {
    pub(crate) fn new(purpose: Purpose) -> Self {
        Self(XxHash64::with_seed(purpose as u64))
    }

    /// Adds bytes. How they are divided into calls makes no difference.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// Adds another digest.
    pub(crate) fn add(&mut self, digest: Digest) {
        self.0.write(&digest.0.to_le_bytes());
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest(self.0.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::{Digest, HashKey, Purpose};

    #[test]
    fn another_text_purpose_or_key_gives_another_number() {
        let seal = |key: u8, purpose, text: &str| {
            HashKey::new([key; 16]).seal(Digest::of(purpose, text.as_bytes()))
        };
        let one = seal(7, Purpose::Session, "ann");
        assert_eq!(one, seal(7, Purpose::Session, "ann"));
        assert_ne!(one, seal(7, Purpose::Session, "bob"));
        assert_ne!(one, seal(7, Purpose::Adapter, "ann"));
        assert_ne!(one, seal(8, Purpose::Session, "ann"));
    }
}
