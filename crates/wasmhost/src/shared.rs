//! The state that all VMs of one proxy share: key-value data, queues, metrics.
//!
//! One [`Shared`] stands for one Envoy process with one `vm_id`. Every [`Vm`](crate::Vm) made from
//! a clone of it is a worker of that process. Everything is bounded: beyond a limit a call answers
//! `InternalFailure`.

mod data;
mod metrics;
mod queues;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use metrics::Metric;

use data::Data;
use metrics::Metrics;
use queues::Queues;

/// Most bytes of all keys and values, and most bytes of all queued messages.
pub(crate) const MAX_BYTES: usize = 256 << 20;
/// Most keys, most queues, most messages in one queue, most metrics.
pub(crate) const MAX_ITEMS: usize = 100_000;

/// A handle. Clones share the same state.
#[derive(Debug, Clone, Default)]
pub struct Shared {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    data: Mutex<Data>,
    queues: Mutex<Queues>,
    metrics: Mutex<Metrics>,
}

/// Identifies a VM. Queues remember the VM that registered them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct VmNumber(pub(crate) u32);

impl Shared {
    /// Makes an empty state, as at the start of the proxy.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the value under `key`, with the number for a compare-and-swap.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        self.data()
            .get(key)
            .map(|(value, cas)| (value.to_vec(), cas))
    }

    /// Writes `value` under `key` in any case. Tests use this to play another worker.
    pub fn set(&self, key: &[u8], value: &[u8]) {
        // Without a compare-and-swap number a write only fails at the limits, which no test
        // reaches.
        let _ = self.data().set(key, value, 0);
    }

    /// Returns all keys, sorted.
    #[must_use]
    pub fn keys(&self) -> Vec<Vec<u8>> {
        self.data().keys()
    }

    /// Returns the number of messages in all queues.
    #[must_use]
    pub fn queued_messages(&self) -> usize {
        self.queues().messages()
    }

    /// Returns the metric of this name.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<Metric> {
        self.metrics().by_name(name)
    }

    /// Returns all metrics, sorted by name.
    #[must_use]
    pub fn all_metrics(&self) -> Vec<Metric> {
        self.metrics().all()
    }

    pub(crate) fn data(&self) -> MutexGuard<'_, Data> {
        locked(&self.inner.data)
    }

    pub(crate) fn queues(&self) -> MutexGuard<'_, Queues> {
        locked(&self.inner.queues)
    }

    pub(crate) fn metrics(&self) -> MutexGuard<'_, Metrics> {
        locked(&self.inner.metrics)
    }
}

/// Locks a mutex. A poisoned one is still valid, because no method here panics half way through a
/// change.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
