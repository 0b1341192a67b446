//! Names in a request: of conversations, and of what servers keep.

use super::Reader;
use crate::facts::hash::{Digest, Purpose};

impl Reader {
    /// Digest of the conversation, and whether it is that of a name: of one that a server keeps, else of its beginning, else of the client's
    /// name for it.
    pub(in crate::facts) fn conversation(&self) -> Option<(Digest, bool)> {
        let kept = self.kept.map(|digest| (digest, true));
        let begun = self.prompt.conversation().map(|digest| (digest, false));
        let named = self.session.map(|(_, digest)| (digest, true));
        kept.or(begun).or(named)
    }

    /// Digest of the name of what a server keeps and the request goes on from.
    pub(in crate::facts) fn held(&self) -> Option<Digest> {
        self.held.map(|(_, digest)| digest)
    }

    /// The word that was read is such a name; the lowest rank wins.
    pub(super) fn holds(&mut self, rank: u8) -> Option<Digest> {
        let digest = Digest::of(Purpose::Held, self.name()?);
        if self.held.is_none_or(|(other, _)| rank < other) {
            self.held = Some((rank, digest));
        }
        Some(digest)
    }
}
