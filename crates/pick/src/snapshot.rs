//! The pool as one table describes it, indexed for decisions.

use alloc::vec::Vec;

use crate::Millis;

/// Stable identity of an endpoint over tables: the caller's hash of its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u64);

/// Whether an endpoint may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Chosen freely.
    #[default]
    Ready,
    /// Never chosen.
    Draining,
    /// Chosen only when nothing else is left.
    Suspect,
}

/// One endpoint as last seen. Times in seconds, absent signals `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointLoad {
    /// Who it is.
    pub id: EndpointId,
    /// Whether it may be chosen.
    pub state: State,
    /// Predicted seconds until a new request's prefill starts (`w`).
    pub wait_s: Option<f32>,
    /// Requests queued.
    pub waiting: Option<u32>,
    /// Requests in the running batch.
    pub running: Option<u32>,
    /// Prompt tokens per second (`R_p`).
    pub prefill_tokens_per_s: Option<f32>,
    /// Seconds one more sequence costs the others (`g`).
    pub decode_s_per_sequence: Option<f32>,
    /// Relative capacity, 1 = the slowest class.
    pub speed: Option<f32>,
    /// Resident adapters, ascending indices of the table's list; `None`: not known.
    pub adapters: Option<Vec<u16>>,
    /// Age of this row when the table arrived, in milliseconds.
    pub age_ms: u32,
}

/// What holds for the pool as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PoolFacts {
    /// Requests per second over all proxies (`lambda`).
    pub arrival_rate: Option<f32>,
    /// Mean uncached prompt tokens per request (`p_bar`).
    pub uncached_tokens: Option<f32>,
    /// Seconds an endpoint is blocked when it loads an adapter.
    pub adapter_load_s: Option<f32>,
}

/// An immutable, indexed view of one table. Indices of [`EndpointLoad`] are positions in the list it was made from.
#[derive(Debug, Clone)]
pub struct Snapshot {
    endpoints: Vec<EndpointLoad>,
    pool: PoolFacts,
    arrived_at: Millis,
}

impl Snapshot {
    /// Indexes `endpoints`, in the caller's order. `arrived_at`: when the table came, on the caller's clock.
    #[must_use]
    pub fn new(endpoints: Vec<EndpointLoad>, pool: PoolFacts, arrived_at: Millis) -> Self {
        Self { endpoints, pool, arrived_at }
    }

    /// The endpoints, in the caller's order.
    #[must_use]
    pub fn endpoints(&self) -> &[EndpointLoad] {
        &self.endpoints
    }

    /// What holds for the pool.
    #[must_use]
    pub fn pool(&self) -> &PoolFacts {
        &self.pool
    }

    /// When the table came.
    #[must_use]
    pub fn arrived_at(&self) -> Millis {
        self.arrived_at
    }
}
