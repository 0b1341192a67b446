//! Requests on endpoints, from submission to the last token.

use trimtab_engine::{Event as EngineEvent, Request as EngineRequest};
use trimtab_workload::Turn;

use super::{Event, Job, World};
use crate::clock::{nanos, seconds};
use crate::measure::Ended;
use crate::oracle;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With all its tokens.
    Complete,
    /// With an error about the request itself.
    Refused,
    /// The connection was closed before the last token.
    Broken,
}

impl World<'_> {
    pub(super) fn submit(&mut self, mut job: Job, turn: &Turn, chain: Vec<u64>) {
        let id = self.jobs.len() as u64;
        let server = job.server;
        let Some(to) = self.servers.get_mut(server) else {
            return;
        };
        job.queued_tokens = oracle::uncached(to, job.prompt_tokens, &chain);
        let request = EngineRequest {
            id,
            prompt_tokens: job.prompt_tokens,
            output_tokens: job.output_tokens,
            chain,
            adapter: turn.adapter,
        };
        to.got += 1;
        if to.engine.submit(request).is_err() {
            // The request is too long for the endpoint, which answers with an error.
            self.jobs.push(Some(job));
            self.end(id, End::Refused);
            return;
        }
        to.queued_tokens += u64::from(job.queued_tokens);
        self.jobs.push(Some(job));
        self.begin_step(server);
    }

    fn begin_step(&mut self, server: usize) {
        let mut events = Vec::new();
        let Some(to) = self.servers.get_mut(server) else {
            return;
        };
        if let Some(plan) = to.begin_step(&mut events) {
            let (at, start) = (self.agenda.now() + nanos(plan.duration_s).max(1), to.starts);
            self.agenda.plan(at, Event::StepEnds(server, start));
        }
        for event in events {
            if let EngineEvent::Admitted { id, cached_tokens } = event {
                self.on_admitted(id, cached_tokens);
            }
        }
    }

    fn on_admitted(&mut self, id: u64, cached_tokens: u32) {
        let Some(Some(job)) = self.jobs.get_mut(id as usize) else {
            return;
        };
        if std::mem::replace(&mut job.admitted, true) {
            return;
        }
        job.cached_tokens = cached_tokens;
        let left = u64::from(std::mem::take(&mut job.queued_tokens));
        if let Some(server) = self.servers.get_mut(job.server) {
            server.queued_tokens = server.queued_tokens.saturating_sub(left);
        }
        if job.measured {
            self.measure.prompt_tokens += u64::from(job.prompt_tokens);
            self.measure.cached_tokens += u64::from(cached_tokens);
        }
    }

    pub(super) fn on_step_end(&mut self, server: usize, start: u32) {
        let mut events = Vec::new();
        let Some(from) = self.servers.get_mut(server) else {
            return;
        };
        if from.starts != start || !from.life.works() {
            return;
        }
        from.stepping = false;
        from.engine.finish_step(&mut events);
        for event in events {
            if let EngineEvent::Token { id, finished, .. } = event {
                self.on_token(id);
                if finished {
                    self.end(id, End::Complete);
                }
            }
        }
        self.begin_step(server);
    }

    fn on_token(&mut self, id: u64) {
        let now = self.agenda.now();
        self.find_astray(id);
        let Some(Some(job)) = self.jobs.get_mut(id as usize) else {
            return;
        };
        let Some(server) = self.servers.get_mut(job.server) else {
            return;
        };
        if job.first_at.is_none() {
            job.first_at = Some(now);
            server.on_first_token(seconds(now - job.sent_at), job.cached_tokens);
            let worker = self.workers.get_mut(job.worker);
            if let Some((worker, sent)) = worker.zip(job.sent.as_mut()) {
                worker.on_first_byte(now, sent);
            }
        } else {
            server.on_token(seconds(now - job.last_at));
        }
        job.last_at = now;
    }

    fn find_astray(&mut self, id: u64) {
        let Some(slot) = self.jobs.get_mut(id as usize) else {
            return;
        };
        if let Some(mut job) = slot.take_if(|job| job.astray.is_some()) {
            self.notice(&mut job);
            if let Some(slot) = self.jobs.get_mut(id as usize) {
                *slot = Some(job);
            }
        }
    }

    /// Ends a request: closes the books, counts it, and plans the session's next turn.
    pub(super) fn end(&mut self, id: u64, end: End) {
        let Some(mut job) = self.jobs.get_mut(id as usize).and_then(Option::take) else {
            return;
        };
        let complete = end == End::Complete;
        self.tell(&mut job, end);
        let worker = self.workers.get_mut(job.worker);
        if let Some((worker, sent)) = worker.zip(job.sent.take()) {
            worker.on_done(sent, !complete);
        }
        if job.measured {
            self.open -= 1;
            let slo = &self.scenario.slo;
            let gaps = job.output_tokens.saturating_sub(1);
            let decoded_s = job.first_at.map(|first| seconds(job.last_at - first));
            let ended = Ended {
                ttft_s: job.first_at.map(|first| seconds(first - job.sent_at)),
                tpot_s: decoded_s
                    .filter(|_| complete && gaps > 0)
                    .map(|span| span / f64::from(gaps)),
                e2e_s: complete.then(|| seconds(job.last_at - job.sent_at)),
                predicted_s: job.predicted_s,
                allowed_s: slo.ttft_s + slo.prefill_factor * self.idle_ttft_s(job.prompt_tokens),
            };
            self.measure.on_end(&ended, slo);
        }
        self.advance(job.live);
    }

    pub(super) fn end_unsent(&mut self, live: usize, measured: bool) {
        if measured {
            self.open -= 1;
            let ended = Ended {
                ttft_s: None,
                tpot_s: None,
                e2e_s: None,
                predicted_s: None,
                allowed_s: 0.0,
            };
            self.measure.on_end(&ended, &self.scenario.slo);
        }
        self.advance(live);
    }

    /// Returns the prompt's own prefill time on the fastest class of the fleet.
    fn idle_ttft_s(&self, tokens: u32) -> f64 {
        let groups = self.scenario.fleet.iter();
        groups
            .map(|group| oracle::idle_ttft_s(&group.profile, tokens))
            .fold(f64::INFINITY, f64::min)
    }
}
