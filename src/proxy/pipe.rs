//! One direction of a request as its task sees it.

use tokio::sync::mpsc::UnboundedReceiver;
use trimtab_wasmhost::{Direction, Part};

use super::messages::{Event, Key, Mailbox, Out};

/// What came out of the filter.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// A part to pass on.
    Part(Part),
    /// The filter has dealt with the part that was sent last.
    Done,
    /// An answer of the filter or the proxy follows in the response's direction.
    LocalReply,
    /// Cut the request.
    Reset,
}

/// Sends parts of a message to the filter and takes what it lets through.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) key: Key,
    pub(super) direction: Direction,
    pub(super) mailbox: Mailbox,
    pub(super) outs: UnboundedReceiver<Out>,
}

impl Pipe {
    /// Sends a part. Call [`Self::next`] until [`Passed::Done`] before the next one.
    pub(super) fn send(&self, part: Part) {
        self.mailbox.send(Event::Part {
            key: self.key,
            direction: self.direction,
            part,
        });
    }

    /// What comes next; a worker that is gone counts as a reset. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Passed {
        match self.outs.recv().await {
            Some(Out::Part(part)) => Passed::Part(part),
            Some(Out::Done) => Passed::Done,
            Some(Out::LocalReply) => Passed::LocalReply,
            Some(Out::Reset) | None => Passed::Reset,
        }
    }
}
