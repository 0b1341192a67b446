//! Shared queues. Any VM enqueues. The VM that registered the queue gets a callback and dequeues.

use std::collections::{BTreeMap, VecDeque};

use super::{MAX_BYTES, MAX_ITEMS, VmNumber};
use crate::abi::Status;

#[derive(Debug)]
struct Queue {
    name: Vec<u8>,
    owner: (VmNumber, u32),
    messages: VecDeque<Vec<u8>>,
    /// Messages for which the owner had no callback yet.
    untold: usize,
}

/// Queues by the guest's number for them, from 1.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    queues: BTreeMap<u32, Queue>,
    bytes: usize,
}

impl Queues {
    /// Registers a queue. If the name exists, the queue gets the new owner and keeps its number and
    /// messages, as in Envoy.
    pub(crate) fn register(&mut self, name: &[u8], owner: (VmNumber, u32)) -> Result<u32, Status> {
        if let Some((id, queue)) = self.queues.iter_mut().find(|(_, queue)| queue.name == name) {
            queue.owner = owner;
            return Ok(*id);
        }
        if self.queues.len() >= MAX_ITEMS {
            return Err(Status::INTERNAL_FAILURE);
        }
        let id = self.queues.last_key_value().map_or(1, |(id, _)| id + 1);
        let queue = Queue {
            name: name.to_vec(),
            owner,
            messages: VecDeque::new(),
            untold: 0,
        };
        self.queues.insert(id, queue);
        Ok(id)
    }

    pub(crate) fn resolve(&self, name: &[u8]) -> Result<u32, Status> {
        let found = self.queues.iter().find(|(_, queue)| queue.name == name);
        found.map(|(id, _)| *id).ok_or(Status::NOT_FOUND)
    }

    pub(crate) fn enqueue(&mut self, id: u32, message: &[u8]) -> Result<(), Status> {
        let queue = self.queues.get_mut(&id).ok_or(Status::NOT_FOUND)?;
        if queue.messages.len() >= MAX_ITEMS || self.bytes + message.len() > MAX_BYTES {
            return Err(Status::INTERNAL_FAILURE);
        }
        self.bytes += message.len();
        queue.messages.push_back(message.to_vec());
        queue.untold += 1;
        Ok(())
    }

    pub(crate) fn dequeue(&mut self, id: u32) -> Result<Vec<u8>, Status> {
        let queue = self.queues.get_mut(&id).ok_or(Status::NOT_FOUND)?;
        let message = queue.messages.pop_front().ok_or(Status::EMPTY)?;
        self.bytes -= message.len();
        Ok(message)
    }

    /// Returns the number of messages in all queues.
    pub(crate) fn messages(&self) -> usize {
        self.queues.values().map(|queue| queue.messages.len()).sum()
    }

    /// Returns the next `(root context, queue)` for which `vm` needs a callback. Each message
    /// counts once.
    pub(crate) fn next_ready(&mut self, vm: VmNumber) -> Option<(u32, u32)> {
        let mut own = self
            .queues
            .iter_mut()
            .filter(|(_, queue)| queue.owner.0 == vm);
        let (id, queue) = own.find(|(_, queue)| queue.untold > 0)?;
        queue.untold -= 1;
        Some((queue.owner.1, *id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_in_order_and_the_owner_is_told_once_for_each() {
        let mut queues = Queues::default();
        let (a, b) = (VmNumber(1), VmNumber(2));
        let id = queues.register(b"q", (a, 9)).expect("room");
        assert_eq!(queues.resolve(b"q"), Ok(id));
        assert_eq!(queues.resolve(b"other"), Err(Status::NOT_FOUND));
        for message in [b"1", b"2"] {
            assert_eq!(queues.enqueue(id, message), Ok(()));
        }
        assert_eq!(queues.next_ready(b), None);
        assert_eq!(queues.next_ready(a), Some((9, id)));
        assert_eq!(queues.next_ready(a), Some((9, id)));
        assert_eq!(queues.next_ready(a), None);
        assert_eq!(queues.dequeue(id), Ok(b"1".to_vec()));
        assert_eq!(queues.dequeue(id), Ok(b"2".to_vec()));
        assert_eq!(queues.dequeue(id), Err(Status::EMPTY));
        assert_eq!(queues.dequeue(id + 1), Err(Status::NOT_FOUND));
    }

    #[test]
    fn who_registers_a_name_again_becomes_its_owner() {
        let mut queues = Queues::default();
        let id = queues.register(b"q", (VmNumber(1), 1)).expect("room");
        assert_eq!(queues.register(b"q", (VmNumber(2), 1)), Ok(id));
        assert_eq!(queues.enqueue(id, b"m"), Ok(()));
        assert_eq!(queues.next_ready(VmNumber(1)), None);
        assert_eq!(queues.next_ready(VmNumber(2)), Some((1, id)));
    }
}
