//! What a table says: of each endpoint, and of the pool.

use alloc::vec::Vec;

/// Stable identity of an endpoint over tables: the caller's hash of its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EndpointId(pub u64);

/// Whether an endpoint may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Chosen freely.
    #[default]
    Ready,
    /// Never chosen.
    Draining,
    /// Chosen only when more endpoints are suspect than ready.
    Suspect,
    /// Never chosen: it takes no whole prompts, because it only decodes or only prefills.
    NoPrompts,
}

/// One endpoint as last seen. Times in seconds, absent signals `None`; a value that is not finite, negative, or a speed
/// of zero is taken as absent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EndpointLoad {
    /// Who it is.
    pub id: EndpointId,
    /// Whether it may be chosen.
    pub state: State,
    /// Predicted seconds until a new request's prefill starts (`w`). Absent: counts as the longest of the pool.
    pub wait_s: Option<f32>,
    /// Requests queued.
    pub waiting: Option<u32>,
    /// Requests in the running batch.
    pub running: Option<u32>,
    /// Share of the KV cache that live requests use, 0 to 1.
    pub kv_used: Option<f32>,
    /// Tokens that the KV cache holds. Absent: nobody waits for room in it.
    pub kv_tokens: Option<f32>,
    /// Most sequences in one batch. Absent: nobody waits for a slot.
    pub batch_limit: Option<u32>,
    /// Requests that end there per second, as of late: how soon room in the cache and slots become free. Absent: taken to be
    /// one in five seconds.
    pub ends_per_s: Option<f32>,
    /// Of the prompt tokens expected in its cache, the share that is found there, 0 to 1. Absent: all.
    pub found_share: Option<f32>,
    /// Prompt tokens per second (`R_p`). Absent: counts as the lowest of the pool.
    pub prefill_tokens_per_s: Option<f32>,
    /// Seconds one more sequence costs the others (`g`). Absent: counts as the highest of the pool.
    pub decode_s_per_sequence: Option<f32>,
    /// Relative capacity, 1 = the slowest class. Absent: counts as the lowest of the pool.
    pub speed: Option<f32>,
    /// Resident adapters, ascending indices of the table's list; `None`: not known, counts as not resident.
    pub adapters: Option<Vec<u16>>,
    /// Whether an adapter that is not resident could be loaded at once; absent: taken to be so.
    pub adapter_room: Option<bool>,
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
    /// Mean prompt tokens per request, cached ones included.
    pub prompt_tokens: Option<f32>,
    /// Mean output tokens per request.
    pub output_tokens: Option<f32>,
    /// Part of a mean prompt that was in the cache of the endpoint that got it, 0 to 1.
    pub cached_share: Option<f32>,
    /// Seconds an endpoint is blocked when it loads an adapter.
    pub adapter_load_s: Option<f32>,
    /// Seconds that an endpoint's cache keeps what nobody asks for, on average.
    pub kept_s: Option<f32>,
    /// Whether the deciders report and so hear from each other: of large placements at once, and where conversations went
    /// ([`Picker::on_told`](crate::Picker::on_told)).
    pub reported: bool,
    /// Whether there is only one decider, so that nobody else has to hear of what it does.
    pub alone: bool,
}
