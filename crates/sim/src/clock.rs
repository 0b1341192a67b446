//! Virtual time, and the events that are due.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

use trimtab_pick::Millis;

/// Nanoseconds since the start of the run. Whole numbers give the same run on every machine.
pub(crate) type Nanos = u64;

/// Converts a moment to a picker's clock.
pub(crate) fn millis(at: Nanos) -> Millis {
    Millis(at / 1_000_000)
}

/// Converts a moment to the aggregator's clock.
pub(crate) fn duration(at: Nanos) -> Duration {
    Duration::from_nanos(at)
}

/// Converts seconds to a span of virtual time. NaN and negative values become 0.
pub(crate) fn nanos(seconds: f64) -> Nanos {
    (seconds * 1e9) as Nanos
}

/// Converts a span of virtual time to seconds.
pub(crate) fn seconds(span: Nanos) -> f64 {
    span as f64 / 1e9
}

/// The planned events by time. Events of the same time keep the order in which they were planned.
#[derive(Debug)]
pub(crate) struct Agenda<E> {
    heap: BinaryHeap<Reverse<Due<E>>>,
    planned: u64,
    now: Nanos,
}

#[derive(Debug)]
struct Due<E> {
    at: Nanos,
    number: u64,
    event: E,
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            planned: 0,
            now: 0,
        }
    }
}

impl<E> Agenda<E> {
    /// Returns the time of the event that was taken last.
    pub(crate) fn now(&self) -> Nanos {
        self.now
    }

    /// Plans an event. An event in the past is due at once.
    pub(crate) fn plan(&mut self, at: Nanos, event: E) {
        self.planned += 1;
        self.heap.push(Reverse(Due {
            at: at.max(self.now),
            number: self.planned,
            event,
        }));
    }

    /// Takes the next event and advances the time to it. Returns `None` when no event is left.
    pub(crate) fn next(&mut self) -> Option<E> {
        let Reverse(due) = self.heap.pop()?;
        self.now = due.at;
        Some(due.event)
    }
}

impl<E> PartialEq for Due<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Due<E> {}

impl<E> PartialOrd for Due<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Due<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_in_the_order_of_planning() {
        let mut agenda = Agenda::default();
        for (at, name) in [(5, "c"), (1, "a"), (5, "d"), (1, "b")] {
            agenda.plan(at, name);
        }
        let order: Vec<_> = std::iter::from_fn(|| agenda.next()).collect();
        assert_eq!(order, ["a", "b", "c", "d"]);
        assert_eq!(agenda.now(), 5);
        agenda.plan(2, "late");
        assert_eq!((agenda.next(), agenda.now()), (Some("late"), 5));
    }
}
