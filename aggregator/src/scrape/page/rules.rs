//! What one number for a server is, where its page has several series of a signal: one rule per signal.

/// How series of several engines, ranks or processes of one server become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// What each has adds up: queues, batches, blocks. Those of a process that is over are left out.
    Sum,
    /// As `Sum`, also those of a process that is over: a total never falls, so that a fall is the server's restart.
    Total,
    /// The largest: the fullest cache is the one that preempts, and what is said of all is said by any. A process that is over is left
    /// out.
    Most,
}

/// The rule of each signal, for all engines.
///
/// Before it, of each signal: series that stand twice, and copies of other ranks (`tp_rank`, `pp_rank`, `moe_ep_rank`), count once; parts
/// (`priority="1"`) are left out where their total is there. Series of several processes (`pid`) are each process's own, copies of one
/// number, or what a process that is over left behind: see `Processes`. Names of adapters have no rule of these: of
/// `lora_requests_info` the newest combination counts, of `lora_adapter_loaded` those that are in any engine's GPU.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) waiting: Rule,
    pub(crate) running: Rule,
    pub(crate) kv_used: Rule,
    pub(crate) kv_blocks: Rule,
    pub(crate) kv_block_tokens: Rule,
    pub(crate) batch_limit: Rule,
    pub(crate) queued_tokens: Rule,
    pub(crate) awake: Rule,
    pub(crate) start_time: Rule,
    /// Everything that is counted since the start, sums and counts of histograms too.
    pub(crate) counters: Rule,
    pub(crate) adapter_slots: Rule,
}

pub(crate) const RULES: Rules = Rules {
    waiting: Rule::Sum,
    running: Rule::Sum,
    kv_used: Rule::Most,
    kv_blocks: Rule::Sum,
    kv_block_tokens: Rule::Most,
    batch_limit: Rule::Sum,
    queued_tokens: Rule::Sum,
    awake: Rule::Most,
    start_time: Rule::Most,
    counters: Rule::Total,
    adapter_slots: Rule::Most,
};
