//! Reads the answer: where its content begins, and the names of what its server keeps.

use trimtab_pick::Outcome;

use super::{InFlight, PIECE_BYTES};
use crate::facts::Digest;
use crate::host::{self, Buffer};
use crate::pool::kept_names;
use crate::request::answer::{Begun, fault};

/// Bytes of an error that are kept to see whom it blames.
const MAX_ERROR_BYTES: usize = PIECE_BYTES;

impl InFlight {
    /// Reads a part of `bytes` bytes, as long as there is something to find in the answer.
    pub(super) fn read(&mut self, bytes: usize) {
        let mut from = 0_usize;
        while self.waiting.is_some() || self.naming.is_some() || self.error.is_some() {
            let Some(left) = bytes.checked_sub(from).filter(|left| *left > 0) else {
                return;
            };
            let piece = host::buffer(Buffer::HttpResponseBody, from, left.min(PIECE_BYTES));
            let piece = self.pool.checked(piece).flatten().unwrap_or_default();
            match &self.error {
                Some(_) => self.read_error(&piece),
                None => self.look_for_content(&piece),
            }
            self.look_for_names(&piece);
            from = from.saturating_add(piece.len());
        }
    }

    /// Checks whether the content of the answer, or an error in its place, begins in this piece. An
    /// empty piece means that the part cannot be read; it hides the content.
    fn look_for_content(&mut self, piece: &[u8]) {
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        let begun = match piece.is_empty() {
            true => Some(Begun::Hidden),
            false => waiting.feed(piece),
        };
        let Some(begun) = begun else { return };
        self.streams |= waiting.has_events();
        self.waiting = None;
        // Reading the exact time costs 0.1 us here; reading a property costs 0.9 us.
        self.first_byte_ms = (begun == Begun::Content).then(|| self.ms_since_placement());
        self.on_first_byte();
        if begun == Begun::Error {
            self.error = Some(Vec::new());
            self.read_error(piece);
        }
    }

    /// Reads an error in place of the content, until the server is blamed or enough was read. An
    /// empty piece means that the part cannot be read.
    fn read_error(&mut self, piece: &[u8]) {
        let Some(mut error) = self.error.take() else {
            return;
        };
        let room = MAX_ERROR_BYTES.saturating_sub(error.len());
        error.extend_from_slice(piece.get(..room).unwrap_or(piece));
        if fault::is_servers(&error) {
            self.on_servers_error();
        } else if error.len() < MAX_ERROR_BYTES && !piece.is_empty() {
            self.error = Some(error);
        }
    }

    /// Handles a server's failure in place of the content of an answer with a status of success.
    fn on_servers_error(&mut self) {
        if !self.asked {
            self.ask_late();
        }
        if self.good {
            self.good = false;
            self.failed = true;
            self.on_outcome(Outcome::ServerError);
        }
    }

    /// Looks for names of what the server keeps, and passes them on to the other workers. An empty
    /// piece means that the part cannot be read.
    fn look_for_names(&mut self, piece: &[u8]) {
        let Some(mut naming) = self.naming.take().filter(|_| !piece.is_empty()) else {
            return;
        };
        for name in naming.feed(piece) {
            self.keep(Some(*name));
        }
        self.naming = Some(naming).filter(|naming| !naming.is_over());
    }

    /// Remembers that the server of the request keeps something of that name, and lets the others
    /// know.
    pub(super) fn keep(&self, name: Option<Digest>) {
        if let Some((name, sent)) = name.zip(self.sent.as_ref()) {
            let (pool, now) = (&self.pool, self.now());
            pool.with(|state| kept_names::tell(pool, state, now, sent, name));
        }
    }
}
