//! Rules by which several series of a signal become one number for the server.

/// How series of several engines, ranks or processes of one server become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The sum: for queues, batches and blocks. A process that is over is left out.
    Sum,
    /// The sum, also over processes that are over. Such a total never falls, so a fall means that
    /// the server has restarted.
    Total,
    /// The largest. The fullest cache is the one that preempts, and any series is right where all
    /// say the same. A process that is over is left out.
    Most,
}

/// The rule of each signal, for all engines.
///
/// Before the rule applies, for each signal:
///
/// - Series that occur twice count once, and so do copies of other ranks (`tp_rank`, `pp_rank`,
///   `moe_ep_rank`).
/// - Parts (`priority="1"`) are left out where their total is on the page.
/// - Series of several processes (`pid`) are each process's own, copies of one number, or left by a
///   process that is over: see `Processes`.
///
/// Names of adapters follow other rules. The newest combination of `lora_requests_info` counts. Of
/// `lora_adapter_loaded` those count that are on any engine's GPU.
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
    /// Everything counted since the start, also sums and counts of histograms.
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
