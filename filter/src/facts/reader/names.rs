//! Names in a request: of conversations, and of what servers keep.

use super::{Field, Part, Reader};
use crate::facts::hash::{Digest, Hasher, Purpose};

impl Reader {
    /// Returns the digest of the conversation, and whether it is the digest of a name. The first
    /// that there is counts: the name of a conversation that a server keeps, the conversation's
    /// beginning, the client's name for it.
    pub(in crate::facts) fn conversation(&self) -> Option<(Digest, bool)> {
        let kept = self.kept.map(|digest| (digest, true));
        let begun = self.prompt.conversation().map(|digest| (digest, false));
        let named = self.session.map(|(_, digest)| (digest, true));
        kept.or(begun).or(named)
    }

    /// Returns the digest of the conversation's beginning, if its first user message is being read.
    pub(in crate::facts) fn opening(&self) -> Option<Digest> {
        let message = self.message.as_ref()?;
        self.prompt.opening(message, self.media.as_ref())
    }

    /// Returns the tokens that earlier turns have prefilled; 0 on the first turn.
    pub(in crate::facts) fn history_tokens(&self) -> u64 {
        self.prompt.history_tokens(self.message.as_ref())
    }

    /// Whether system prompt and tools at most were seen, and no name of a conversation.
    pub(in crate::facts) fn is_shared_only(&self) -> bool {
        self.conversation().is_none()
            && self.opening().is_none()
            && self.prompt.is_shared_only(self.message.as_ref())
    }

    /// Returns the digest of the name of what a server keeps and the request goes on from.
    pub(in crate::facts) fn held(&self) -> Option<Digest> {
        self.held.map(|(_, digest)| digest)
    }

    /// Returns the word that was read, if there is one.
    pub(super) fn name(&self) -> Option<&[u8]> {
        self.word.get().filter(|name| !name.is_empty())
    }

    /// Whether the string being read, in the prompt or the tools, may be the name of what a server
    /// keeps.
    pub(super) fn names_kept(&self) -> bool {
        self.names_file() || self.names_for_tool() || self.names_item()
    }

    /// Whether the string being read is the name of what a tool works with.
    fn names_for_tool(&self) -> bool {
        self.field == Field::Tools && self.names_for_tool
    }

    /// Whether the string being read is the name of a file that is part of the prompt.
    fn names_file(&self) -> bool {
        self.part == Part::File && self.field == Field::Turns && self.aside.0 != Part::Plain
    }

    /// Whether the string being read is the name of an item of the prompt.
    fn names_item(&self) -> bool {
        self.depth == 3 && self.message.as_ref().is_some_and(|item| item.name_next)
    }

    /// Handles the end of a string that may have been a name within the prompt or the tools.
    pub(super) fn end_name(&mut self) {
        if self.names_file() {
            self.holds(3);
        } else if self.names_for_tool() {
            self.holds(2);
        } else if self.names_item() {
            let name = self.digested();
            if let Some(item) = &mut self.message {
                (item.name, item.name_next) = (name, false);
            }
        }
    }

    /// Digests a part of a salt or a name.
    pub(super) fn digest(&mut self, purpose: Purpose, part: &[u8]) {
        let new = || Box::new(Hasher::new(purpose));
        self.digesting.get_or_insert_with(new).write(part);
    }

    /// Returns the digest of the salt or name that was read. `None`: nothing was read.
    pub(super) fn digested(&mut self) -> Option<Digest> {
        self.digesting.take().map(|hash| hash.digest())
    }

    /// What was read is the name of something that a server keeps. The lowest rank wins; of two
    /// with the same rank the last.
    pub(super) fn holds(&mut self, rank: u8) -> Option<Digest> {
        let digest = self.digested()?;
        self.goes_on_from(rank, digest);
        Some(digest)
    }

    /// The request goes on from something of that name, which a server keeps. As [`Self::holds`].
    pub(super) fn goes_on_from(&mut self, rank: u8, name: Digest) {
        if self.held.is_none_or(|(other, _)| rank <= other) {
            self.held = Some((rank, name));
        }
    }
}
