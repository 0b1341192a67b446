//! What the decision assumes: two settings, and the constants with where they come from.
//!
//! docs/algorithm.md#constants has each with its source, and the range in which simulation showed the same result.

/// Parameters of the decision. Every value is safe: `choose` is total for all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// A table older than this is not used for load, only for who there is, in milliseconds. 1,000 to 5,000 are sensible: with
    /// 100 proxies a table of 5 s is worse than none (docs/algorithm.md#fallback). Simulated with scrapes and tables every 5 s and nothing told in
    /// between, requests in SLO with 1, 1.5, 2 and 3 s: 67, 66, 64 and 57 % of prompts without prefixes, 51 to 53 % with long ones
    /// among them; every 2 s: 72, 69, not run, 65 %, and 59 to 61 %.
    pub table_max_age_ms: u64,
    /// Longest time for which an endpoint is left out because own requests failed there, or because it asked to be left alone, in
    /// milliseconds. 0: nobody is ever left out.
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

/// Endpoints drawn from under the water level per request (docs/algorithm.md#candidates: 4 to 16 alike).
pub(crate) const SAMPLES: usize = 8;
/// Fixed ranks weighed for a shared prefix (docs/algorithm.md#spread); for an adapter likewise.
pub(crate) const PREFIX_RANKS: u32 = 2;
/// Endpoints that a prefix is spread over per endpoint that its share of the traffic keeps busy (docs/algorithm.md#spread: 1.5 to 6), and an adapter,
/// of which an endpoint holds few.
pub(crate) const PREFIX_RANKS_PER_SHARE: f64 = 6.0;
pub(crate) const ADAPTER_RANKS_PER_SHARE: f64 = 3.0;
/// Share of a rare prefix's requests that are taken to go to each rank after the first (simulated: 0.02 to 0.3 alike).
pub(crate) const LATER_SHARE: f64 = 0.1;
/// Requests that a rank gets at least while its cache keeps the prefix: with three, one in twenty finds it gone.
pub(crate) const WARM_REQUESTS: f64 = 3.0;
/// Seconds that a cache keeps what nobody asks for, where the table does not say.
pub(crate) const KEPT_S: f64 = 30.0;
/// Ranks of a hot prefix that are weighed per request, drawn from all of its ranks; with no more than these all are (docs/algorithm.md#spread).
pub(crate) const FEW_RANKS: u32 = 3;
/// A prefix with more ranks than this is taken to be cached everywhere when work is booked.
pub(crate) const HOT_RANKS_KNOWN: u32 = 64;
/// What a rank after the first costs, as a share of the prefix (docs/algorithm.md#rank-penalty: 0 to 0.6 equal). It makes requests gather on the
/// first rank while load allows, so that one copy of the prefix is enough for a cold one.
pub(crate) const RANK_PENALTY: f64 = 0.3;
/// The price of prefill that is cached elsewhere, in seconds per second: [`price`](crate::rule::price). Simulated with 0.05, 0.08, 0.1 and 0.12 for the
/// factor, and 0.2 and 0.3 for the least: mixed work 1.10 to 1.2 times the oracle's p99 with all, shared system prompts better the higher.
pub(crate) const LOSS_LEAST: f64 = 0.2;
pub(crate) const LOSS_FACTOR: f64 = 0.1;
pub(crate) const LOSS_MOST: f64 = 6.0;
/// Seconds at the least busy endpoint from which the pool counts as overloaded, and what each second more adds to the price.
pub(crate) const OVERLOADED_S: f64 = 0.5;
pub(crate) const OVERLOAD_FACTOR: f64 = 4.0;
/// Loads that an adapter counts as where it is not meant to live: it turns out another.
pub(crate) const STRAY_LOADS: f64 = 9.0;
/// Noise of a cost, as a share of what a mean request adds (docs/algorithm.md#noise: 0.25 to 1), where many requests of others are unseen.
pub(crate) const NOISE: f64 = 0.5;
/// Unseen requests of others with which half of that noise is used. It keeps deciders from agreeing on one endpoint between
/// two tables; with a table that shows everything there is nothing to agree on, and noise only misplaces.
pub(crate) const NOISE_HALF_REQUESTS: f64 = 4.0;
/// Seconds of prefill that one placement brings from which it is large: reported at once and not with the next poll. Each costs its proxy
/// about half a millisecond of CPU. From 20 to 50 ms p99 TTFT is the same in the simulator, with 100 ms it is 4 % more where half of the
/// servers are slow or the load comes in bursts (10 seeds).
pub(crate) const LARGE_S: f64 = 0.05;
/// Seconds that a report of a large placement takes from the decider that makes them to the others.
pub(crate) const LARGE_DELAY_S: f64 = 0.015;
/// Requests that are poured in at least before endpoints are drawn from under the surface, so that more than the least busy
/// one is looked at.
pub(crate) const LEAST_POURED: f64 = 4.0;
/// Share of requests that continue a conversation from which first turns are worth remembering.
pub(crate) const WORTH_TELLING: f64 = 0.05;
/// Milliseconds for which conversations are looked for where their keys belonged before members changed: the pause between turns, with some to
/// spare. What is found there is told, and known from then on.
pub(crate) const FORMER_MS: u64 = 60_000;
/// Seconds charged for a turn away from home where there are only conversations. With more, turns wait behind long prompts (0.2: the demo's fleet at
/// 80 % load 1.5 times the oracle's p99 instead of 1.3); with none, noise moves conversations (1.5 instead of 1.2 times).
pub(crate) const TELL_S: f64 = 0.06;
/// Requests that end per second at an endpoint, where it does not say and at least; and the longest wait for room that is reckoned with, in seconds.
pub(crate) const UNKNOWN_ENDS_PER_S: f64 = 0.2;
pub(crate) const LEAST_ENDS_PER_S: f64 = 0.02;
pub(crate) const MOST_ROOM_S: f64 = 60.0;
/// Share of KV blocks in use at which an endpoint counts as busy as the average one.
pub(crate) const KV_COMFORT: f64 = 0.6;
/// What is expected in a cache is not all taken to be lost: a little affinity keeps it from being so for ever.
pub(crate) const FOUND_LEAST: f64 = 0.05;
/// Ranks tried for a key when there is no fresh table (docs/algorithm.md#fallback).
pub(crate) const STALE_RANKS: u32 = 16;
/// How far above the speed-weighted mean of the own in-flight requests a rank may be without a fresh table (docs/algorithm.md#fallback):
/// consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2016), the usual 1.25.
pub(crate) const BOUNDED_LOAD: f64 = 1.25;

/// Prompt tokens per second when no class of the pool has a measured speed: an 8 B model on an A100 does 11,000 (docs/algorithm.md#prior).
/// Too low only raises the price of a miss, the harmless direction.
pub(crate) const PREFILL_TOKENS_PER_S: f64 = 10_000.0;
/// Uncached prompt tokens of a request when the table does not say; as the aggregator assumes.
pub(crate) const UNCACHED_TOKENS: f64 = 512.0;
/// Seconds until a slot for an adapter is free where running requests use all: the length of a long answer.
pub(crate) const NO_ROOM_S: f64 = 10.0;
/// Seconds that loading an adapter blocks an endpoint when nobody has measured it (docs/algorithm.md#constants-of-the-decision).
pub(crate) const ADAPTER_LOAD_S: f64 = 0.15;
/// Of a prompt, where only the client's name for the conversation says that requests belong together: the part that counts as having been
/// there before, and the tokens of which it is a part at most. A guess: half of what is long for a chat.
pub(crate) const NAMED_SHARE: f64 = 0.5;
/// See [`NAMED_SHARE`].
pub(crate) const NAMED_TOKENS: f64 = 4_096.0;
/// What it counts at least, in seconds: also short requests stay together where waits differ by less. Twice what makes a placement large.
pub(crate) const NAMED_S: f64 = 0.1;
