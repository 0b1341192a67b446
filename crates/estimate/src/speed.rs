//! The speed of a hardware class: measured over all its endpoints, a prior until then.

use crate::fit::{Fit, median};
use crate::interval::Interval;
use crate::own_speed::OwnSpeed;
use crate::prior::Prior;
use std::collections::VecDeque;
use std::time::Duration;

/// How many saturated runs are kept per class.
const MAX_RUNS: usize = 64;
/// A shorter run says little, because its ends are only known to within an interval.
const MIN_RUN_S: f64 = 1.0;
/// A longer run is cut, so that old speeds leave.
const MAX_RUN_S: f64 = 4.0;
/// Seconds of saturated runs that are needed for a speed.
const MIN_SATURATED_S: f64 = 5.0;
/// With a queue and fewer prompt tokens than this per generated token, requests wait for batch
/// slots and not for prefill.
const PREFILL_DOMINATES: f64 = 4.0;
/// How many full budgets of saturated intervals are kept.
const STEPS_KEPT: usize = 15;
/// The smallest default budget of tokens per step of vLLM and SGLang.
const STEP_BUDGET_TOKENS: f64 = 2048.0;
/// Steps count as full from this share of the full budget on.
const FULL: f64 = 0.75;
/// A shorter prompt takes as long as the step that contains it, whatever the speed.
const MIN_PROMPT_TOKENS: f64 = 512.0;
/// The same limit for the first prompts of a class.
const FIRST_PROMPT_TOKENS: f64 = 256.0;
/// Prompt tokens per second. No accelerator is outside of this range.
const PREFILL_RANGE: (f64, f64) = (10.0, 1e6);
/// Seconds that one more sequence adds to a step. No accelerator is outside of this range.
const ITL_SLOPE_RANGE: (f64, f64) = (1e-7, 0.1);

/// Prefill of one endpoint while its queue was not empty, from the end of one prompt to the end of
/// another.
///
/// Servers count a prompt's tokens in one lump when its prefill ends, and a queue empties at such
/// an end. A count from the first interval with a queue to the last would miss the lump that
/// empties it. That is half of the speed where a step takes longer than an interval.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Run {
    /// Whether a prompt has ended. There the run begins.
    begun: bool,
    tokens: f64,
    generated: f64,
    seconds: f64,
    /// Generated tokens and seconds since the last end of a prompt.
    since: (f64, f64),
}

impl Run {
    fn add(&mut self, interval: &Interval, uncached_tokens: f64) {
        let ended = interval.prompt_tokens.is_some_and(|tokens| tokens > 0.0);
        if self.begun {
            self.since.0 += interval.generation_tokens.unwrap_or(0.0);
            self.since.1 += interval.seconds;
        }
        if self.begun && ended {
            self.tokens += uncached_tokens;
            self.generated += self.since.0;
            self.seconds += self.since.1;
            self.since = (0.0, 0.0);
        }
        self.begun |= ended;
    }

    /// Returns this run, to be kept, and the run that follows it without a gap.
    fn cut(self) -> (Self, Self) {
        let next = Self {
            begun: self.begun,
            since: self.since,
            ..Self::default()
        };
        (self, next)
    }
}

/// What has been seen of a class.
#[derive(Debug, Clone, Default)]
pub(crate) struct Speed {
    /// Mean time between tokens over running requests, while nothing is prefilled. A prefill
    /// stretches this time far more than another sequence does, and comes more often the more
    /// sequences run.
    itl: Fit,
    /// Mean time to first token over uncached prompt tokens, while nothing is queued.
    ttft: Fit,
    /// (tokens, seconds) of saturated runs.
    runs: VecDeque<(f64, f64)>,
    /// Mean tokens per step of saturated intervals.
    steps: VecDeque<f64>,
}

/// What has been seen of a class, by itself and compared with the other classes.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClassSpeed {
    pub(crate) speed: Speed,
    /// Its observed speed over the speed that its prior and the pool predict.
    pub(crate) seen: OwnSpeed,
}

impl ClassSpeed {
    /// Returns the speed to assume until the class has been measured by itself. It is what the pool
    /// does, times what the prior and the first observations say of the class relative to it. A
    /// class of one endpoint takes minutes to be measured; the pool's speed is known earlier.
    pub(crate) fn assumed(&self, now: Duration, common: &Speed, prior: &Prior) -> Prior {
        let (prefill, decode) = prior.relative();
        let usual = Prior::default();
        Prior {
            prefill_tokens_per_s: common.prefill_tokens_per_s(now, &usual)
                * prefill
                * self.seen.prefill_ratio.unwrap_or(1.0),
            itl_s_per_sequence: common.itl_s_per_sequence(now, &usual)
                / (decode * self.seen.decode_ratio.unwrap_or(1.0)),
        }
    }
}

impl Speed {
    /// Learns from one interval of one endpoint of the class. Adds to `own` what the interval shows
    /// of the endpoint itself.
    pub(crate) fn add(
        &mut self,
        now: Duration,
        interval: &Interval,
        run: &mut Run,
        own: &mut OwnSpeed,
    ) {
        let saturated = interval.saturated == Some(true);
        let uncached = interval
            .prompt_tokens
            .map(|prompt| prompt - interval.cached_tokens.unwrap_or(0.0));
        if (saturated || interval.queued_before)
            && let Some(tokens) = uncached
        {
            run.add(interval, tokens);
        }
        if !saturated || run.seconds >= MAX_RUN_S {
            let (done, next) = run.cut();
            self.end_run(now, done, own);
            *run = if saturated { next } else { Run::default() };
        }
        if let Some(steps) = interval
            .step_tokens
            .filter(|steps| saturated && steps.count >= 1.0)
            && prefill_dominates(
                uncached.unwrap_or(0.0),
                interval.generation_tokens.unwrap_or(0.0),
            )
        {
            push(&mut self.steps, steps.sum / steps.count, STEPS_KEPT);
        }
        self.compare(now, interval, (1.0, 1.0), own);
    }

    /// Ends a run. Runs of an endpoint with a known speed of its own are scaled to the class's
    /// speed. So the class's speed is not that of the endpoints that queue most.
    fn end_run(&mut self, now: Duration, run: Run, own: &mut OwnSpeed) {
        if run.seconds >= MIN_RUN_S
            && run.tokens > 0.0
            && prefill_dominates(run.tokens, run.generated)
        {
            if let Some(rate) = self.saturated_rate() {
                own.prefill
                    .add(now, run.tokens / run.seconds / rate, run.seconds);
            }
            let alike = run.tokens / own.prefill_ratio.unwrap_or(1.0);
            push(&mut self.runs, (alike, run.seconds), MAX_RUNS);
        }
    }

    /// Returns prompt tokens per second while decoding goes on, from the first of these that is
    /// known:
    ///
    /// 1. saturated runs;
    /// 2. how the time to first token grows with the prompt, on endpoints without a queue;
    /// 3. where all prompts have about the same length: that time as a whole. This is a little too
    ///    slow, by about as much for all classes;
    /// 4. the prior, with the first prompts.
    pub(crate) fn prefill_tokens_per_s(&self, now: Duration, prior: &Prior) -> f64 {
        let slope = || {
            self.ttft
                .slope(now)
                .filter(|slope| *slope > 0.0)
                .map(|slope| 1.0 / slope)
        };
        let whole = || self.ttft.best_ratio(now, MIN_PROMPT_TOKENS);
        let speed = self
            .saturated_rate()
            .or_else(slope)
            .or_else(whole)
            .unwrap_or_else(|| self.first_speed(now, prior.prefill_tokens_per_s));
        speed.clamp(PREFILL_RANGE.0, PREFILL_RANGE.1)
    }

    /// Returns the prior, corrected by the first prompts. Each prompt counts as much as the prior.
    fn first_speed(&self, now: Duration, prior: f64) -> f64 {
        match self.ttft.first_ratio(now, FIRST_PROMPT_TOKENS) {
            Some((ratio, prompts)) => {
                let known = prompts as f64 / (prompts as f64 + 1.0);
                libm::exp(libm::log(prior.max(1.0)) * (1.0 - known) + libm::log(ratio) * known)
            }
            None => prior,
        }
    }

    /// Compares times to first token and between tokens with those seen so far, then adds them.
    ///
    /// - `relative`: the assumed prefill and decode speeds of the endpoint, over those of the
    ///   others in this fit; 1 within a class.
    /// - `seen`: takes the results of the comparison.
    pub(crate) fn compare(
        &mut self,
        now: Duration,
        interval: &Interval,
        relative: (f64, f64),
        seen: &mut OwnSpeed,
    ) {
        if let Some((running, itl_s)) = interval.decode_gap() {
            let alike_s = itl_s * relative.1;
            if let Some(expected_s) = self.itl.expected(now, running) {
                seen.decode.add(now, expected_s / alike_s, 1.0);
            }
            self.itl.add(now, running, alike_s);
        }
        if let Some((tokens, ttft_s)) = interval.first_token() {
            let alike_s = ttft_s * relative.0;
            // The time to first token of a short prompt shows mostly how many requests run.
            if tokens >= MIN_PROMPT_TOKENS
                && let Some(expected_s) = self.ttft.expected(now, tokens)
            {
                seen.prefill.add(now, expected_s / alike_s, 1.0);
            }
            self.ttft.add(now, tokens, alike_s);
        }
    }

    /// Returns the seconds that one more running sequence adds to the time between tokens.
    pub(crate) fn itl_s_per_sequence(&self, now: Duration, prior: &Prior) -> f64 {
        let slope = self
            .itl
            .slope(now)
            .filter(|slope| *slope > 0.0)
            .unwrap_or(prior.itl_s_per_sequence);
        slope.clamp(ITL_SLOPE_RANGE.0, ITL_SLOPE_RANGE.1)
    }

    /// Returns tokens per second over runs, without the fastest and the slowest fifth.
    fn saturated_rate(&self) -> Option<f64> {
        let total: f64 = self.runs.iter().map(|(_, seconds)| seconds).sum();
        if total < MIN_SATURATED_S {
            return None;
        }
        let mut runs: Vec<(f64, f64)> = self.runs.iter().copied().collect();
        runs.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
        let cut = runs.len() / 5;
        let kept = runs.get(cut..runs.len() - cut)?;
        let (tokens, seconds) = kept
            .iter()
            .fold((0.0, 0.0), |sum, run| (sum.0 + run.0, sum.1 + run.1));
        (seconds > 0.0).then(|| tokens / seconds)
    }

    /// Whether the interval's steps used (nearly) full prefill budgets.
    ///
    /// - `before`: the answer for the interval before. It holds while a step takes longer than an
    ///   interval.
    pub(crate) fn prefill_busy(
        &self,
        interval: &Interval,
        in_engine: Option<f64>,
        before: Option<bool>,
    ) -> Option<bool> {
        let Some(steps) = interval.step_tokens else {
            return interval.saturated;
        };
        if steps.count < 1.0 {
            return if in_engine == Some(0.0) {
                Some(false)
            } else {
                before
            };
        }
        let mut full: Vec<f64> = self.steps.iter().copied().collect();
        let full = median(&mut full).unwrap_or(STEP_BUDGET_TOKENS);
        Some(steps.sum / steps.count >= FULL * full)
    }
}

fn prefill_dominates(prompt_tokens: f64, generated_tokens: f64) -> bool {
    prompt_tokens >= PREFILL_DOMINATES * generated_tokens
}

fn push<T>(ring: &mut VecDeque<T>, value: T, max: usize) {
    if ring.len() >= max {
        ring.pop_front();
    }
    ring.push_back(value);
}
