//! What happened at one endpoint between two scrapes.

use crate::sample::{Sample, SumCount};

/// In a shorter interval a difference is mostly rounding.
const MIN_SECONDS: f64 = 0.001;
/// More tokens per second than any server handles. A larger difference is an error of the page.
const MAX_TOKENS_PER_S: f64 = 5e6;
/// More requests per second than one server ends.
const MAX_REQUESTS_PER_S: f64 = 1e5;
/// With a larger share of the KV cache in use, requests may wait for blocks and not for compute.
const KV_TIGHT: f64 = 0.95;
/// How many gaps between tokens make their mean an observation.
const MIN_GAPS: f64 = 4.0;
/// Most tokens per step and running sequence that count as decoding. Speculation yields a few, a
/// chunk of a prompt hundreds.
const MAX_DECODE_TOKENS: f64 = 4.0;

/// Differences of counters over an interval. `None`: a page lacked the counter, or the difference
/// cannot be true.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Interval {
    pub(crate) seconds: f64,
    pub(crate) prompt_tokens: Option<f64>,
    /// May exceed `prompt_tokens` in one interval, because servers count the two at different
    /// moments.
    pub(crate) cached_tokens: Option<f64>,
    pub(crate) generation_tokens: Option<f64>,
    /// Requests whose prefill ended (first token); where that is not counted, those that ended.
    pub(crate) prefilled: Option<f64>,
    pub(crate) finished: Option<f64>,
    pub(crate) step_tokens: Option<SumCount>,
    pub(crate) ttft_s: Option<SumCount>,
    pub(crate) itl_s: Option<SumCount>,
    /// Change of waiting plus running.
    pub(crate) in_engine: Option<f64>,
    /// Mean of running at both ends.
    pub(crate) running: Option<f64>,
    /// Requests were queued and KV blocks were to spare at both ends, so prefill was the bottleneck
    /// all the time.
    pub(crate) saturated: Option<bool>,
    /// The same, but requests were queued at the beginning at least.
    pub(crate) queued_before: bool,
    /// Nothing was queued at either end.
    pub(crate) no_queue: bool,
    /// No prefill ended and, as far as steps are counted, none was under way. The time between
    /// tokens is then the time to decode.
    pub(crate) decode_only: bool,
}

impl Interval {
    /// Returns what happened between two samples. `None`: the server restarted between them, or no
    /// time passed.
    pub(crate) fn between(before: &Sample, after: &Sample, seconds: f64) -> Option<Self> {
        if !after.goes_on_from(before) || seconds < MIN_SECONDS {
            return None;
        }
        let (b, a) = (&before.counters, &after.counters);
        let tokens = |x: Option<f64>, y: Option<f64>| {
            difference(x, y).filter(|d| *d <= MAX_TOKENS_PER_S * seconds)
        };
        let requests = |x: Option<f64>, y: Option<f64>| {
            difference(x, y).filter(|d| *d <= MAX_REQUESTS_PER_S * seconds)
        };
        let pair = |x: Option<SumCount>, y: Option<SumCount>| {
            let (x, y) = x.zip(y)?;
            Some(SumCount {
                sum: y.sum - x.sum,
                count: y.count - x.count,
            })
        };
        let ttft_s = pair(b.ttft_s, a.ttft_s);
        let step_tokens = pair(b.step_tokens, a.step_tokens);
        let prompt_tokens = tokens(b.prompt_tokens, a.prompt_tokens);
        let finished = requests(b.finished, a.finished);
        let waiting = before.waiting.zip(after.waiting);
        let kv_tight = [before, after]
            .iter()
            .any(|sample| sample.kv_used.is_some_and(|used| used > KV_TIGHT));
        Some(Self {
            seconds,
            prompt_tokens,
            cached_tokens: tokens(b.cached_tokens, a.cached_tokens)
                .or_else(|| tokens(b.prefix_hits, a.prefix_hits)),
            generation_tokens: tokens(b.generation_tokens, a.generation_tokens),
            prefilled: ttft_s
                .map(|ttft| ttft.count)
                .filter(|count| *count <= MAX_REQUESTS_PER_S * seconds)
                .or(finished),
            finished,
            step_tokens,
            ttft_s,
            itl_s: pair(b.itl_s, a.itl_s),
            in_engine: difference(in_engine(before), in_engine(after)),
            running: before
                .running
                .zip(after.running)
                .map(|(x, y)| f64::midpoint(x, y)),
            saturated: waiting.map(|(x, y)| x >= 1.0 && y >= 1.0 && !kv_tight),
            queued_before: waiting.is_some_and(|(x, _)| x >= 1.0 && !kv_tight),
            no_queue: waiting == Some((0.0, 0.0)),
            decode_only: prompt_tokens == Some(0.0)
                && ttft_s.is_none_or(|ttft| ttft.count == 0.0)
                && step_tokens.is_none_or(|steps| is_decoding(before, after, steps)),
        })
    }
}

impl Interval {
    /// Whether any counter rose. Also true if the page has none of these counters.
    pub(crate) fn shows_progress(&self) -> bool {
        let steps = self.step_tokens.map(|steps| steps.count);
        let counts = [
            self.prompt_tokens,
            self.generation_tokens,
            self.finished,
            steps,
            self.ttft_s.map(|ttft| ttft.count),
            self.itl_s.map(|itl| itl.count),
        ];
        let mut known = counts.into_iter().flatten().peekable();
        known.peek().is_none() || known.any(|count| count > 0.0)
    }

    /// Returns the running requests, and the mean time between their tokens in seconds. `None`:
    /// something was prefilled, or too few tokens came.
    pub(crate) fn decode_gap(&self) -> Option<(f64, f64)> {
        let (itl, running) = self.itl_s.zip(self.running)?;
        (itl.count >= MIN_GAPS && self.decode_only).then(|| (running, itl.sum / itl.count))
    }

    /// Returns the uncached tokens of the mean prefilled prompt, and the mean time to its first
    /// token in seconds. `None`: no prefill ended, or requests were queued.
    pub(crate) fn first_token(&self) -> Option<(f64, f64)> {
        let (ttft, prompt) = self.ttft_s.zip(self.prompt_tokens)?;
        let tokens = prompt - self.cached_tokens.unwrap_or(0.0);
        (ttft.count >= 1.0 && self.no_queue).then(|| (tokens / ttft.count, ttft.sum / ttft.count))
    }
}

fn in_engine(sample: &Sample) -> Option<f64> {
    sample
        .waiting
        .zip(sample.running)
        .map(|(waiting, running)| waiting + running)
}

/// Whether steps hold about one token per running sequence. A prompt that is cut into chunks fills
/// steps long before other counters show its end.
fn is_decoding(before: &Sample, after: &Sample, steps: SumCount) -> bool {
    let most = before.running.zip(after.running).map(|(x, y)| x.max(y));
    most.is_some_and(|running| steps.sum <= MAX_DECODE_TOKENS * running.max(1.0) * steps.count)
}

fn difference(before: Option<f64>, after: Option<f64>) -> Option<f64> {
    before.zip(after).map(|(before, after)| after - before)
}
