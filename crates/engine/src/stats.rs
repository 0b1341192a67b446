//! The numbers that a metrics page would show.

/// An engine's state at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Gauges {
    /// Requests in the queue, including the deferred ones.
    pub waiting: u32,
    /// Requests among `waiting` that wait for a free adapter slot, as the last admission found
    /// them. They do not wait for memory or for a place in the batch.
    pub waiting_deferred: u32,
    /// Requests in the batch.
    pub running: u32,
    /// Blocks held by running requests. Cached blocks without a holder count as free, as in vLLM.
    pub kv_blocks_used: u32,
    /// Blocks in the prefix cache, with or without a holder.
    pub kv_blocks_cached: u32,
    /// `kv_blocks_used` divided by all blocks, 0 to 1.
    pub kv_used_ratio: f64,
}

/// Totals since the engine was made.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counters {
    /// Steps finished.
    pub steps: u64,
    /// Sum of the durations of all steps begun, in seconds.
    pub busy_s: f64,
    /// Prompt tokens of requests that got their first token, including cached tokens.
    pub prompt_tokens: u64,
    /// Tokens of answers written.
    pub generation_tokens: u64,
    /// Tokens computed in prefill, including recomputation after a preemption.
    pub computed_prefill_tokens: u64,
    /// Prompt tokens looked up in the prefix cache. Each request counts once.
    pub prefix_query_tokens: u64,
    /// Tokens found in the prefix cache by those lookups.
    pub prefix_hit_tokens: u64,
    /// Preemptions. A request can be preempted more than once.
    pub preemptions: u64,
    /// Requests that got all their tokens.
    pub finished: u64,
    /// Requests that were cancelled.
    pub cancelled: u64,
    /// Adapters loaded into a slot.
    pub adapter_loads: u64,
}
