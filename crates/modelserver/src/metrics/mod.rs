//! The server's own metrics, and the page that shows them.
//!
//! The driver writes the observations once per step under one lock. A scrape renders the page under
//! the same lock.

mod exposition;
mod families;
mod histogram;
mod http;
mod page;
mod process;

pub(crate) use families::Timing;
pub(crate) use http::{Exchange, HttpStats};
pub(crate) use page::{Config, Scrape, render};

use families::TIMINGS;
use histogram::Histogram;
use std::collections::VecDeque;
use trimtab_engine::{Counters, Gauges};

/// Distinct (running, waiting) pairs of adapters that the page remembers. vLLM keeps all of them.
const LORA_HISTORY: usize = 64;

/// Why a request ended, in the order of vLLM's `FinishReason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop,
    Length,
    Abort,
}

/// Values of the label `finished_reason`. vLLM creates all of them at the start.
pub(crate) const FINISH_REASONS: [&str; 5] = ["stop", "length", "abort", "error", "repetition"];

/// All that `/metrics` shows of the engine.
#[derive(Debug)]
pub(crate) struct Observed {
    pub(crate) gauges: Gauges,
    pub(crate) counters: Counters,
    finished: [u64; FINISH_REASONS.len()],
    histograms: Vec<Histogram>,
    lora: VecDeque<LoraState>,
}

/// One line of `vllm:lora_requests_info`.
#[derive(Debug, PartialEq)]
pub(crate) struct LoraState {
    pub(crate) running: String,
    pub(crate) waiting: String,
    pub(crate) at_unix_s: f64,
}

impl Observed {
    pub(crate) fn new(max_model_len: u32) -> Self {
        Self {
            gauges: Gauges::default(),
            counters: Counters::default(),
            finished: [0; FINISH_REASONS.len()],
            histograms: TIMINGS
                .iter()
                .map(|family| Histogram::new(family.buckets.bounds(max_model_len)))
                .collect(),
            lora: VecDeque::new(),
        }
    }

    pub(crate) fn observe(&mut self, timing: Timing, value: f64) {
        if let Some(histogram) = self.histograms.get_mut(timing as usize) {
            histogram.observe(value);
        }
    }

    pub(crate) fn on_finished(&mut self, reason: Finish) {
        if let Some(count) = self.finished.get_mut(reason as usize) {
            *count += 1;
        }
    }

    /// Records the adapters in use. A pair seen before gets the new time, as when a labelled gauge
    /// is set.
    pub(crate) fn on_adapters(&mut self, running: String, waiting: String, at_unix_s: f64) {
        self.lora
            .retain(|state| state.running != running || state.waiting != waiting);
        self.lora.push_back(LoraState {
            running,
            waiting,
            at_unix_s,
        });
        if self.lora.len() > LORA_HISTORY {
            self.lora.pop_front();
        }
    }
}
