//! What a table says of each endpoint, and of the pool.

use alloc::vec::Vec;

/// The identity of an endpoint, the same in all tables: the caller's hash of its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EndpointId(pub u64);

/// Whether an endpoint may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// May be chosen.
    #[default]
    Ready,
    /// Never chosen.
    Draining,
    /// Chosen only when more endpoints are suspect than ready.
    Suspect,
    /// Never chosen: it takes no whole prompts, because it only decodes or only prefills.
    NoPrompts,
}

/// One endpoint as last seen. Times are in seconds. `None`, a value that is not finite and a
/// negative value are absent. A speed of zero is absent too.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EndpointLoad {
    /// The endpoint's identity.
    pub id: EndpointId,
    /// Whether the endpoint may be chosen.
    pub state: State,
    /// Predicted seconds until a new request's prefill starts (`w`). Absent: counts as the longest
    /// of the pool.
    pub wait_s: Option<f32>,
    /// Requests in the queue.
    pub waiting: Option<u32>,
    /// Requests in the running batch.
    pub running: Option<u32>,
    /// Share of the KV cache that live requests use, 0 to 1.
    pub kv_used: Option<f32>,
    /// Tokens that the KV cache holds. Absent: no request waits for room in it.
    pub kv_tokens: Option<f32>,
    /// Most sequences in one batch. Absent: no request waits for a slot.
    pub batch_limit: Option<u32>,
    /// Requests that recently ended there per second: how soon room in the cache and slots become
    /// free. Absent: counts as one in five seconds.
    pub ends_per_s: Option<f32>,
    /// Share of the prompt tokens expected in its cache that is found there, 0 to 1. Absent: all.
    pub found_share: Option<f32>,
    /// Prompt tokens per second (`R`). Absent: counts as the lowest of the pool.
    pub prefill_tokens_per_s: Option<f32>,
    /// Seconds that one more sequence costs the others (`g`). Absent: counts as the highest of the
    /// pool.
    pub decode_s_per_sequence: Option<f32>,
    /// Relative capacity. 1 is the slowest class. Absent: counts as the lowest of the pool.
    pub speed: Option<f32>,
    /// Resident adapters: those that the endpoint has loaded. Ascending indices of the table's
    /// list. `None`: unknown, and counts as none.
    pub adapters: Option<Vec<u16>>,
    /// Whether an adapter that is not resident could be loaded at once. Absent: counts as yes.
    pub adapter_room: Option<bool>,
    /// Age of this row when the table arrived, in milliseconds.
    pub age_ms: u32,
}

/// What holds for the pool as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PoolFacts {
    /// Requests per second over all proxies (`lambda`). Absent: this picker counts as getting all
    /// requests.
    pub arrival_rate: Option<f32>,
    /// Mean uncached prompt tokens per request (`u`). Absent: counts as 512.
    pub uncached_tokens: Option<f32>,
    /// Mean prompt tokens per request, cached ones included (`p`). Absent: counts as 0.
    pub prompt_tokens: Option<f32>,
    /// Mean output tokens per request (`o`). Absent: counts as 0.
    pub output_tokens: Option<f32>,
    /// Share of a mean prompt that was in the cache of the endpoint that got it, 0 to 1.
    pub cached_share: Option<f32>,
    /// Seconds that loading an adapter blocks an endpoint.
    pub adapter_load_s: Option<f32>,
    /// Seconds that an endpoint's cache keeps unused blocks, on average.
    pub kept_s: Option<f32>,
    /// Whether the pickers report: large placements at once, and where conversations went
    /// ([`Picker::on_told`](crate::Picker::on_told)).
    pub reported: bool,
    /// Whether there is only one picker. Then no placement is large.
    pub alone: bool,
}
