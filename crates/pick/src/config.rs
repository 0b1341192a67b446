//! What the decision assumes: two settings, and the constants.
//!
//! docs/algorithm.md#constants has each constant with its source, and the range in which simulation
//! showed the same result.

/// The settings of the decision. Every value is safe: `choose` cannot fail for any of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// A table older than this is used only for which endpoints there are, and not for their load.
    /// Milliseconds.
    ///
    /// 1,000 to 5,000 are sensible. With 100 proxies a table of 5 s is worse than none
    /// (docs/algorithm.md#fallback). Requests in SLO in percent, simulated with scrapes and tables
    /// that come rarely and with no reports between them:
    ///
    /// | limit | tables every 5 s, no prefixes | tables every 2 s, no prefixes |
    /// |---|---|---|
    /// | 1 s | 67 | 72 |
    /// | 1.5 s | 66 | 69 |
    /// | 2 s | 64 | not run |
    /// | 3 s | 57 | 65 |
    ///
    /// With long prompts among them all limits give 51 to 53 % (every 5 s) and 59 to 61 % (every
    /// 2 s).
    pub table_max_age_ms: u64,
    /// The longest time for which an endpoint is left out, in milliseconds: because own requests
    /// failed there, or because it asked for a rest. 0: no endpoint is ever left out.
    pub max_ejection_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            table_max_age_ms: 2_000,
            max_ejection_ms: 60_000,
        }
    }
}

/// Endpoints drawn from under the water level per request (docs/algorithm.md#candidates). 4 to 16
/// give the same result.
pub(crate) const SAMPLES: usize = 8;
/// Fewest ranks of a shared prefix (docs/algorithm.md#spread), and of an adapter.
pub(crate) const PREFIX_RANKS: u32 = 2;
/// Ranks of a prefix, and of an adapter, per endpoint that its share of the traffic keeps busy
/// (docs/algorithm.md#spread). For a prefix 1.5 to 6 give the same result. An endpoint holds few
/// adapters.
pub(crate) const PREFIX_RANKS_PER_SHARE: f64 = 6.0;
pub(crate) const ADAPTER_RANKS_PER_SHARE: f64 = 3.0;
/// Share of a rare prefix's requests that are assumed to go to each rank after the first.
/// Simulated: 0.02 to 0.3 give the same result.
pub(crate) const LATER_SHARE: f64 = 0.1;
/// Fewest requests that a rank gets while its cache keeps the prefix. With three, one in twenty
/// finds the prefix gone.
pub(crate) const WARM_REQUESTS: f64 = 3.0;
/// Seconds that a cache keeps unused blocks, where the table does not say.
pub(crate) const KEPT_S: f64 = 30.0;
/// Most ranks that are weighed per request (docs/algorithm.md#spread). A key with more ranks has
/// this many drawn from all of them.
pub(crate) const FEW_RANKS: u32 = 3;
/// A prefix with more ranks than this counts as cached everywhere when work is booked.
pub(crate) const HOT_RANKS_KNOWN: u32 = 64;
/// What each rank after the first costs, as a share of the prefix (docs/algorithm.md#rank-penalty).
/// 0 to 0.6 give the same result. Requests gather on the first rank while load allows, so a cold
/// prefix needs only one copy.
pub(crate) const RANK_PENALTY: f64 = 0.3;
/// The price of prefill that is cached elsewhere, in seconds per second: see
/// [`price`](crate::rule::price).
///
/// Simulated with 0.05, 0.08, 0.1 and 0.12 for the factor, and 0.2 and 0.3 for the least price.
/// Mixed work has 1.10 to 1.2 times the oracle's p99 with all of them. Shared system prompts do
/// better with higher values.
pub(crate) const LOSS_LEAST: f64 = 0.2;
pub(crate) const LOSS_FACTOR: f64 = 0.1;
pub(crate) const LOSS_MOST: f64 = 6.0;
/// From this load of the least busy endpoint, in seconds, the pool counts as overloaded. The factor
/// is what each further second adds to the price.
pub(crate) const OVERLOADED_S: f64 = 0.5;
pub(crate) const OVERLOAD_FACTOR: f64 = 4.0;
/// Loads that an adapter costs at an endpoint that is not one of its ranks. The endpoint evicts
/// another adapter for it.
pub(crate) const STRAY_LOADS: f64 = 9.0;
/// Noise of a cost where many requests of other pickers are unseen, as a share of what a mean
/// request adds (docs/algorithm.md#noise). 0.25 to 1 give the same result.
pub(crate) const NOISE: f64 = 0.5;
/// Unseen requests of other pickers at which half of that noise is used. Noise keeps pickers from
/// all choosing the same endpoint between two tables. With a table that shows everything noise only
/// misplaces.
pub(crate) const NOISE_HALF_REQUESTS: f64 = 4.0;
/// Seconds of prefill from which a placement is large, and reported at once instead of with the
/// next poll. Each such report costs its proxy about half a millisecond of CPU.
///
/// Simulated: 20 to 50 ms give the same p99 TTFT. 100 ms gives 4 % more where half of the servers
/// are slow or the load comes in bursts (10 seeds).
pub(crate) const LARGE_S: f64 = 0.05;
/// Seconds from a large placement until its report has reached the other pickers.
pub(crate) const LARGE_DELAY_S: f64 = 0.015;
/// Requests that are poured in at least before candidates are drawn from under the surface. So more
/// than the least busy endpoint is looked at.
pub(crate) const LEAST_POURED: f64 = 4.0;
/// Share of requests that continue a conversation from which first turns are worth remembering.
pub(crate) const WORTH_TELLING: f64 = 0.05;
/// For this long after members change, a conversation is looked for at its key's former place.
/// Milliseconds. The pause between turns, with some to spare. A conversation that is found there is
/// reported, and known from then on.
pub(crate) const FORMER_MS: u64 = 60_000;
/// Seconds charged for a turn away from home if all requests continue conversations.
///
/// | value | p99, times the oracle's | where |
/// |---|---|---|
/// | 0.2 | 1.5 instead of 1.3 | the demo's fleet at 80 % load: turns wait behind long prompts |
/// | 0 | 1.5 instead of 1.2 | conversations alone: noise moves them |
pub(crate) const TELL_S: f64 = 0.06;
/// Requests that end per second at an endpoint: where it does not say, and at least. Then the
/// longest wait for room that is reckoned with, in seconds.
pub(crate) const UNKNOWN_ENDS_PER_S: f64 = 0.2;
pub(crate) const LEAST_ENDS_PER_S: f64 = 0.02;
pub(crate) const MOST_ROOM_S: f64 = 60.0;
/// Share of KV blocks in use at which an endpoint counts as busy as the average one.
pub(crate) const KV_COMFORT: f64 = 0.6;
/// Least share of the expected tokens that counts as found in a cache. A little affinity remains,
/// so that the cache can fill again.
pub(crate) const FOUND_LEAST: f64 = 0.05;
/// Ranks tried for a key when there is no fresh table (docs/algorithm.md#fallback).
pub(crate) const STALE_RANKS: u32 = 16;
/// How many times its share of the own requests in flight, by speed, a rank may have without a
/// fresh table (docs/algorithm.md#fallback). Consistent hashing with bounded loads (Mirrokni,
/// Thorup, Zadimoghaddam 2016), with the usual 1.25.
pub(crate) const BOUNDED_LOAD: f64 = 1.25;

/// Prompt tokens per second when no row of the table has a speed. An 8 B model on an A100 does
/// 11,000 (docs/algorithm.md#prior). A value that is too low only raises the price of a miss, which
/// is the harmless direction.
pub(crate) const PREFILL_TOKENS_PER_S: f64 = 10_000.0;
/// Uncached prompt tokens of a mean request when the table does not say. The aggregator assumes the
/// same.
pub(crate) const UNCACHED_TOKENS: f64 = 512.0;
/// Seconds until a slot for an adapter is free where running requests use all of them: the length
/// of a long answer.
pub(crate) const NO_ROOM_S: f64 = 10.0;
/// Seconds that loading an adapter blocks an endpoint where the table does not say
/// (docs/algorithm.md#constants-of-the-decision).
pub(crate) const ADAPTER_LOAD_S: f64 = 0.15;
/// Share of a prompt that counts as earlier turns, where only the client's name for the
/// conversation says that requests belong together. The share is of at most [`NAMED_TOKENS`]. A
/// guess: half of what is long for a chat.
pub(crate) const NAMED_SHARE: f64 = 0.5;
/// See [`NAMED_SHARE`].
pub(crate) const NAMED_TOKENS: f64 = 4_096.0;
/// Least cost of leaving home for such a request, in seconds. Short requests stay together too,
/// where waits differ by less. Twice what makes a placement large.
pub(crate) const NAMED_S: f64 = 0.1;
