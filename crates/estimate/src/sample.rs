//! The signals of one endpoint at one scrape.

use trimtab_loadtable::limits::NAME_BYTES;

/// More requests than any real engine holds. A larger number counts as absent.
const MAX_REQUESTS: f64 = 1e6;
/// More KV blocks, or tokens per block, than any real cache has.
const MAX_BLOCKS: f64 = 1e9;
/// 2^53: larger integers are not exact in a float, so differences of larger counters mean nothing.
const MAX_COUNTER: f64 = 9.007_199_254_740_992e15;
/// How many names of adapters are read from each list of a sample.
const MAX_ADAPTERS: usize = 256;

/// All signals of one endpoint at one time. `None`: the server does not report the signal.
///
/// Numbers are as on the page. [`Sample::cleaned`] drops what cannot be true.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sample {
    /// Requests queued in the engine, over all its data-parallel ranks.
    pub waiting: Option<f64>,
    /// Requests in the running batch.
    pub running: Option<f64>,
    /// Share of the KV cache held by live requests, 0..=1. Cached blocks that may be evicted count
    /// as free.
    pub kv_used: Option<f64>,
    /// Number of KV cache blocks.
    pub kv_blocks: Option<f64>,
    /// Tokens per block.
    pub kv_block_tokens: Option<f64>,
    /// Most sequences in one batch.
    pub batch_limit: Option<f64>,
    /// Uncached prompt tokens that wait in the queue, where the engine counts them (SGLang's
    /// `/v1/loads`).
    pub queued_tokens: Option<f64>,
    /// When the server's process started, in seconds since some epoch. Only compared with itself:
    /// another value means a restart.
    pub start_time_s: Option<f64>,
    /// Whether the engine serves. A vLLM server that sleeps has given its memory away. Like a
    /// draining endpoint, it gets no requests.
    pub awake: Option<bool>,
    /// Totals since the server's start.
    pub counters: Counters,
    /// Adapters, where the engine names them.
    pub adapters: Option<Adapters>,
}

/// Totals since the server's start. They fall only when it restarts.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Counters {
    /// Prompt tokens, including cached ones.
    pub prompt_tokens: Option<f64>,
    /// Prompt tokens found in a cache: part of `prompt_tokens`, counted at the same moment.
    pub cached_tokens: Option<f64>,
    /// Tokens looked up in the prefix cache.
    pub prefix_queries: Option<f64>,
    /// Tokens found there. Used instead of `cached_tokens` on servers that lack it.
    pub prefix_hits: Option<f64>,
    /// Generated tokens.
    pub generation_tokens: Option<f64>,
    /// Requests that ended, for any reason.
    pub finished: Option<f64>,
    /// Tokens per engine step: their sum, and the number of steps.
    pub step_tokens: Option<SumCount>,
    /// Time to first token in seconds: its sum, and the number of requests.
    pub ttft_s: Option<SumCount>,
    /// Time between tokens of one request in seconds: its sum, and the number of gaps.
    pub itl_s: Option<SumCount>,
    /// Time from arrival to last token in seconds: its sum, and the number of requests.
    pub e2e_s: Option<SumCount>,
}

/// The two totals of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SumCount {
    /// Sum of the observations.
    pub sum: f64,
    /// Number of observations.
    pub count: f64,
}

/// Adapters as the server lists them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Adapters {
    /// Names of adapters that running requests use.
    pub running: Vec<String>,
    /// Names of adapters that queued requests want.
    pub waiting: Vec<String>,
    /// Adapter slots on the device.
    pub slots: Option<u32>,
    /// Names of adapters on the device, in use or not, where the server lists them.
    pub loaded: Option<Vec<String>>,
}

impl Sample {
    /// Whether this sample may be of the same run of a server as an earlier one. One counter that
    /// fell shows that it is not: servers reset all counters together, by restarting.
    pub(crate) fn goes_on_from(&self, before: &Self) -> bool {
        let starts = before.start_time_s.zip(self.start_time_s);
        let values = before.counters.values().into_iter();
        let mut both = values.zip(self.counters.values());
        starts.is_none_or(|(a, b)| (a - b).abs() <= 1.0)
            && !both.any(|(before, after)| before.zip(after).is_some_and(|(b, a)| a < b))
    }

    /// Returns this sample without what cannot be true:
    ///
    /// - numbers that are not finite, negative, or larger than any real server's;
    /// - a ratio above 1, except for 2 % of rounding;
    /// - half of a histogram;
    /// - names of adapters that are empty, too long, or contain control characters.
    #[must_use]
    pub fn cleaned(self) -> Self {
        let counters = self.counters;
        let counter = |value| within(value, MAX_COUNTER);
        Self {
            waiting: within(self.waiting, MAX_REQUESTS),
            running: within(self.running, MAX_REQUESTS),
            kv_used: within(self.kv_used, 1.02).map(|ratio| ratio.min(1.0)),
            kv_blocks: within(self.kv_blocks, MAX_BLOCKS),
            kv_block_tokens: within(self.kv_block_tokens, MAX_BLOCKS)
                .filter(|tokens| *tokens >= 1.0),
            batch_limit: within(self.batch_limit, MAX_REQUESTS).filter(|limit| *limit >= 1.0),
            queued_tokens: within(self.queued_tokens, MAX_BLOCKS),
            start_time_s: self.start_time_s.filter(|time| time.is_finite()),
            awake: self.awake,
            counters: Counters {
                prompt_tokens: counter(counters.prompt_tokens),
                cached_tokens: counter(counters.cached_tokens),
                prefix_queries: counter(counters.prefix_queries),
                prefix_hits: counter(counters.prefix_hits),
                generation_tokens: counter(counters.generation_tokens),
                finished: counter(counters.finished),
                step_tokens: counters.step_tokens.and_then(SumCount::cleaned),
                ttft_s: counters.ttft_s.and_then(SumCount::cleaned),
                itl_s: counters.itl_s.and_then(SumCount::cleaned),
                e2e_s: counters.e2e_s.and_then(SumCount::cleaned),
            },
            adapters: self.adapters.map(Adapters::cleaned),
        }
    }
}

impl Counters {
    /// Returns all values, always in the same order.
    pub(crate) fn values(&self) -> [Option<f64>; 14] {
        let pair = |p: Option<SumCount>| [p.map(|p| p.sum), p.map(|p| p.count)];
        let [steps, ttft, itl, e2e] =
            [self.step_tokens, self.ttft_s, self.itl_s, self.e2e_s].map(pair);
        [
            self.prompt_tokens,
            self.cached_tokens,
            self.prefix_queries,
            self.prefix_hits,
            self.generation_tokens,
            self.finished,
            steps[0],
            steps[1],
            ttft[0],
            ttft[1],
            itl[0],
            itl[1],
            e2e[0],
            e2e[1],
        ]
    }
}

impl SumCount {
    fn cleaned(self) -> Option<Self> {
        let valid = |value: f64| within(Some(value), MAX_COUNTER).is_some();
        (valid(self.sum) && valid(self.count)).then_some(self)
    }
}

impl Adapters {
    fn cleaned(mut self) -> Self {
        let loaded = self.loaded.iter_mut();
        for names in [&mut self.running, &mut self.waiting]
            .into_iter()
            .chain(loaded)
        {
            names.truncate(MAX_ADAPTERS);
            names.retain(|name| {
                (1..=NAME_BYTES).contains(&name.len()) && !name.chars().any(char::is_control)
            });
        }
        self
    }
}

fn within(value: Option<f64>, max: f64) -> Option<f64> {
    value.filter(|value| (0.0..=max).contains(value))
}
