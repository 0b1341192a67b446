//! One direction of a request, as its task uses it.

use tokio::sync::mpsc::UnboundedReceiver;
use trimtab_wasmhost::{Direction, Part};

use super::messages::{Event, Key, Mailbox, Out};

/// Output of the filter.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// A part to pass on.
    Part(Part),
    /// The filter has handled the part that was sent last.
    Done,
    /// The filter or the proxy answers; the answer follows in the response's direction.
    LocalReply,
    /// The request must be reset.
    Reset,
}

/// Sends parts of a message to the filter and receives its output.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) key: Key,
    pub(super) direction: Direction,
    pub(super) mailbox: Mailbox,
    pub(super) outs: UnboundedReceiver<Out>,
}

impl Pipe {
    /// Sends a part. Before the next one, call [`Self::next`] until it returns [`Passed::Done`].
    pub(super) fn send(&self, part: Part) {
        self.mailbox.send(Event::Part {
            key: self.key,
            direction: self.direction,
            part,
        });
    }

    /// Returns the next output. A worker that is gone counts as a reset. The future may be dropped
    /// and the method called again.
    pub(super) async fn next(&mut self) -> Passed {
        match self.outs.recv().await {
            Some(Out::Part(part)) => Passed::Part(part),
            Some(Out::Done) => Passed::Done,
            Some(Out::LocalReply) => Passed::LocalReply,
            Some(Out::Reset) | None => Passed::Reset,
        }
    }
}
