//! What a metrics page would show.

/// The state after the last step.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Gauges {
    /// Requests waiting, deferred ones included.
    pub waiting: u32,
    /// Of those, the ones seen waiting for a free adapter slot and not for memory or a place in the batch.
    pub waiting_deferred: u32,
    /// Requests in the batch.
    pub running: u32,
    /// Blocks held by running requests. Cached blocks that nobody holds count as free, as in vLLM.
    pub kv_blocks_used: u32,
    /// Blocks whose content could be shared, held or not.
    pub kv_blocks_cached: u32,
    /// `kv_blocks_used` over all blocks, 0 to 1.
    pub kv_used_ratio: f64,
}

/// Totals since the engine was made.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counters {
    /// Steps finished.
    pub steps: u64,
    /// Sum of the durations of all steps begun, in seconds.
    pub busy_s: f64,
    /// Prompt tokens of requests that got their first token, cached ones included.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub generation_tokens: u64,
    /// Tokens computed in prefill, recomputation after preemption included.
    pub computed_prefill_tokens: u64,
    /// Prompt tokens looked up in the prefix cache, once per request.
    pub prefix_query_tokens: u64,
    /// Of those, the ones found.
    pub prefix_hit_tokens: u64,
    /// Preemptions.
    pub preemptions: u64,
    /// Requests that got all their tokens.
    pub finished: u64,
    /// Requests that were cancelled.
    pub cancelled: u64,
    /// Adapters loaded into a slot.
    pub adapter_loads: u64,
}
