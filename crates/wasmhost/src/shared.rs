//! What the VMs of one proxy share: key-value data, queues, metrics.
//!
//! One [`Shared`] is one Envoy process with one `vm_id`; every [`Vm`](crate::Vm) made from a clone of it is one
//! of that process's workers. Everything is bounded: beyond a bound a call answers `InternalFailure`.

mod data;
mod metrics;
mod queues;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use metrics::Metric;

use data::Data;
use metrics::Metrics;
use queues::Queues;

/// Most bytes of keys, values and queued messages together.
pub(crate) const MAX_BYTES: usize = 256 << 20;
/// Most keys, most queues, most messages in one queue, most metrics.
pub(crate) const MAX_ITEMS: usize = 100_000;

/// A handle; clones are the same object.
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

/// A VM among those that share; queues remember who registered them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct VmNumber(pub(crate) u32);

impl Shared {
    /// An empty object, as at the start of the proxy.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value under `key`, with the number that a compare-and-swap needs.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        self.data()
            .get(key)
            .map(|(value, cas)| (value.to_vec(), cas))
    }

    /// Writes `value` under `key` whatever is there; what a test uses to play another worker.
    pub fn set(&self, key: &[u8], value: &[u8]) {
        // Without a compare-and-swap number a write fails only at the bounds, which no test comes near.
        let _ = self.data().set(key, value, 0);
    }

    /// Every key, sorted.
    #[must_use]
    pub fn keys(&self) -> Vec<Vec<u8>> {
        self.data().keys()
    }

    /// Messages that lie in queues.
    #[must_use]
    pub fn queued_messages(&self) -> usize {
        self.queues().messages()
    }

    /// The metric of that name.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<Metric> {
        self.metrics().by_name(name)
    }

    /// All metrics, sorted by name.
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

/// A thread that panicked while it held the lock left a whole value behind: no method here panics half way.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
