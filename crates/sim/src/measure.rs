//! Counts requests while a run goes on.

use crate::outcome::{Prediction, TrafficCounts};
use crate::{Rule, Run, Scenario, Slo, percentile};

/// One request that ended, with or without all tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    /// `None`: no first token came.
    pub(crate) ttft_s: Option<f64>,
    /// `None`: at most one token came.
    pub(crate) tpot_s: Option<f64>,
    /// `None`: the request ended without all tokens.
    pub(crate) e2e_s: Option<f64>,
    /// The time to first token that the decision predicted. `None`: its rule predicts nothing.
    pub(crate) predicted_s: Option<f64>,
    /// The time to first token that the SLO allows.
    pub(crate) allowed_s: f64,
}

/// Sums over the measured requests.
#[derive(Debug, Default)]
pub(crate) struct Measure {
    pub(crate) requests: u64,
    failed: u64,
    within: u64,
    ttft_s: Vec<f32>,
    tpot_s: Vec<f32>,
    e2e_s: Vec<f32>,
    pub(crate) prompt_tokens: u64,
    pub(crate) cached_tokens: u64,
    pub(crate) ages: (f64, u64),
    /// Requests of the whole run, not only of the measured time.
    pub(crate) after_drain: u64,
    /// Absolute errors of predictions: in seconds, and as a share of what was seen.
    missed_s: Vec<f32>,
    missed_share: Vec<f32>,
}

impl Measure {
    pub(crate) fn on_end(&mut self, ended: &Ended, slo: &Slo) {
        let or_never =
            |seconds: Option<f64>| seconds.map_or(f32::INFINITY, |seconds| seconds as f32);
        self.failed += u64::from(ended.e2e_s.is_none());
        self.ttft_s.push(or_never(ended.ttft_s));
        self.e2e_s.push(or_never(ended.e2e_s));
        self.tpot_s.extend(ended.tpot_s.map(|tpot| tpot as f32));
        let in_time = ended.ttft_s.is_some_and(|ttft| ttft <= ended.allowed_s);
        let flowing = ended.tpot_s.is_none_or(|tpot| tpot <= slo.tpot_s);
        if let Some((predicted, seen)) = ended.predicted_s.zip(ended.ttft_s) {
            let missed = (predicted - seen).abs();
            self.missed_s.push(missed as f32);
            self.missed_share.push((missed / seen.max(1e-6)) as f32);
        }
        self.within += u64::from(ended.e2e_s.is_some() && in_time && flowing);
    }

    pub(crate) fn on_age(&mut self, age_s: Option<f64>) {
        if let Some(age_s) = age_s {
            self.ages.0 += age_s;
            self.ages.1 += 1;
        }
    }

    /// Returns the result. Requests that have not ended count as failed.
    pub(crate) fn finish(
        mut self,
        scenario: &Scenario,
        rule: Rule,
        (load, seed): (f64, u64),
        per_endpoint: Vec<u64>,
        traffic: TrafficCounts,
    ) -> Run {
        let ended = self.ttft_s.len() as u64;
        let missing = self.requests.saturating_sub(ended);
        for seconds in [&mut self.ttft_s, &mut self.e2e_s] {
            seconds.extend((0..missing).map(|_| f32::INFINITY));
            seconds.sort_unstable_by(f32::total_cmp);
        }
        self.tpot_s.sort_unstable_by(f32::total_cmp);
        self.missed_s.sort_unstable_by(f32::total_cmp);
        self.missed_share.sort_unstable_by(f32::total_cmp);
        let prediction = Prediction {
            missed_p50_s: percentile(&self.missed_s, 0.5),
            missed_p90_s: percentile(&self.missed_s, 0.9),
            missed_share_p50: percentile(&self.missed_share, 0.5),
        };
        let share = |part: u64, whole: u64| part as f64 / (whole as f64).max(1.0);
        Run {
            scenario: scenario.name.clone(),
            rule,
            seed,
            deciders: scenario.deciders.count * scenario.deciders.workers,
            load,
            requests: self.requests,
            failed: self.failed + missing,
            slo_share: share(self.within, self.requests),
            hit_ratio: share(self.cached_tokens, self.prompt_tokens),
            ttft_s: self.ttft_s,
            tpot_s: self.tpot_s,
            e2e_s: self.e2e_s,
            per_endpoint,
            after_drain: self.after_drain,
            prediction,
            traffic: TrafficCounts {
                table_age_s: self.ages.0 / (self.ages.1 as f64).max(1.0),
                ..traffic
            },
        }
    }
}
