//! Drives the engine on the wall clock, with one task per server.

use crate::adapters::Adapters;
use crate::call::Call;
use crate::metrics::{Finish, Observed, Timing};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use trimtab_engine::{Engine, Event, Request};

/// How late steps may be, because this machine was busy. Up to this the engine catches up, so that
/// the timer's granularity does not slow the server down. A larger lag is dropped: the burst of
/// late steps would look like a faster server.
const LAG_LIMIT: Duration = Duration::from_millis(100);

/// A command from a handler to the driver.
#[derive(Debug)]
pub(crate) enum Command {
    /// All sequences of one HTTP request.
    Submit(Vec<Submission>),
    /// The client went away. Unknown ids are ignored, because a sequence may have ended in the
    /// meantime.
    Cancel(std::ops::Range<u64>),
    /// The adapter was unloaded. Its slot is freed if no sequence uses it.
    EvictAdapter(u32),
}

/// One sequence for the engine.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) request: Request,
    pub(crate) call: Arc<Call>,
    /// Position of the sequence in the call.
    pub(crate) part: usize,
    pub(crate) arrived: Instant,
    /// Most tokens that the client allows.
    pub(crate) max_tokens: u32,
    /// The request's `n`.
    pub(crate) n: u32,
    /// The reason for which the sequence will end.
    pub(crate) finish: Finish,
}

/// A sequence that has not ended.
#[derive(Debug)]
struct Live {
    submission: Submission,
    prompt_tokens: u32,
    cached_tokens: u32,
    admitted: Option<Instant>,
    first_token: Option<Instant>,
    last_token: Instant,
}

/// Drives one engine until all senders of commands are dropped.
#[derive(Debug)]
pub(crate) struct Driver {
    engine: Engine,
    commands: mpsc::UnboundedReceiver<Command>,
    live: HashMap<u64, Live>,
    events: Vec<Event>,
    observed: Arc<Mutex<Observed>>,
    adapters: Arc<RwLock<Adapters>>,
    /// The adapters last recorded: running, waiting.
    lora_seen: (Vec<u32>, Vec<u32>),
}

impl Driver {
    pub(crate) fn new(
        engine: Engine,
        commands: mpsc::UnboundedReceiver<Command>,
        observed: Arc<Mutex<Observed>>,
        adapters: Arc<RwLock<Adapters>>,
    ) -> Self {
        let lora_seen = Default::default();
        Self {
            engine,
            commands,
            live: HashMap::new(),
            events: Vec::new(),
            observed,
            adapters,
            lora_seen,
        }
    }

    pub(crate) async fn run(mut self) {
        let mut deadline = Instant::now();
        loop {
            while let Ok(command) = self.commands.try_recv() {
                self.apply(command);
            }
            self.events.clear();
            let Some(plan) = self.engine.begin_step(&mut self.events) else {
                self.publish_idle();
                let Some(command) = self.commands.recv().await else {
                    return;
                };
                self.apply(command);
                deadline = Instant::now();
                continue;
            };
            let now = Instant::now();
            self.on_begun(now);
            if now > deadline + LAG_LIMIT {
                tracing::debug!(
                    lag_ms = (now - deadline).as_millis() as u64,
                    "the machine is too busy to keep the pace"
                );
                deadline = now;
            }
            deadline += Duration::from_secs_f64(plan.duration_s);
            sleep_until(deadline).await;
            self.events.clear();
            self.engine.finish_step(&mut self.events);
            let tokens = f64::from(plan.prefill_tokens) + f64::from(plan.decode_sequences);
            self.on_finished(tokens);
        }
    }

    fn apply(&mut self, command: Command) {
        match command {
            Command::Submit(submissions) => {
                for submission in submissions {
                    self.submit(submission);
                }
            }
            Command::Cancel(ids) => {
                for id in ids {
                    self.engine.cancel(id);
                    if let Some(live) = self.live.remove(&id) {
                        live.submission.call.on_failed();
                        observed(&self.observed).on_finished(Finish::Abort);
                    }
                }
            }
            Command::EvictAdapter(adapter) => self.engine.evict_adapter(adapter),
        }
    }

    fn submit(&mut self, mut submission: Submission) {
        let id = submission.request.id;
        let chain = std::mem::take(&mut submission.request.chain);
        let request = Request {
            chain,
            ..submission.request.clone()
        };
        if let Err(error) = self.engine.submit(request) {
            // The handler checked everything that can be wrong with a request, so this is a defect.
            // The client still needs an answer.
            tracing::error!(%error, id, "the engine refused a request that the API accepted");
            submission.call.on_failed();
            return;
        }
        let live = Live {
            prompt_tokens: submission.request.prompt_tokens,
            cached_tokens: 0,
            admitted: None,
            first_token: None,
            last_token: submission.arrived,
            submission,
        };
        self.live.insert(id, live);
    }

    /// Records which sequences were admitted. Gauges stay as they were: vLLM sets them at the end
    /// of a step.
    fn on_begun(&mut self, now: Instant) {
        for event in &self.events {
            if let Event::Admitted { id, cached_tokens } = *event
                && let Some(live) = self.live.get_mut(&id)
                && live.admitted.is_none()
            {
                live.admitted = Some(now);
                live.cached_tokens = cached_tokens;
                live.submission
                    .call
                    .on_admitted(live.submission.part, cached_tokens);
            }
        }
    }

    fn on_finished(&mut self, step_tokens: f64) {
        let now = Instant::now();
        let mut observed = observed(&self.observed);
        observed.gauges = self.engine.gauges();
        observed.counters = self.engine.counters();
        observed.observe(Timing::IterationTokens, step_tokens);
        for event in &self.events {
            let Event::Token {
                id,
                produced,
                finished,
            } = *event
            else {
                continue;
            };
            let Some(live) = self.live.get_mut(&id) else {
                continue;
            };
            live.on_token(now, produced, &mut observed);
            live.submission
                .call
                .on_token(live.submission.part, produced);
            if finished && let Some(live) = self.live.remove(&id) {
                live.on_end(now, produced, &mut observed);
            }
        }
        note_adapters(
            &self.engine,
            &self.adapters,
            &mut self.lora_seen,
            &mut observed,
        );
    }

    /// Updates the metrics of an idle engine. Without a step nothing else would set the gauges
    /// after a cancellation.
    fn publish_idle(&mut self) {
        let mut observed = observed(&self.observed);
        observed.gauges = self.engine.gauges();
        observed.counters = self.engine.counters();
        note_adapters(
            &self.engine,
            &self.adapters,
            &mut self.lora_seen,
            &mut observed,
        );
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        for live in self.live.values() {
            live.submission.call.on_failed();
        }
    }
}

impl Live {
    fn on_token(&mut self, now: Instant, produced: u32, observed: &mut Observed) {
        if produced == 1 {
            self.first_token = Some(now);
            observed.observe(
                Timing::TimeToFirstToken,
                seconds(self.submission.arrived, now),
            );
        } else {
            observed.observe(Timing::InterTokenLatency, seconds(self.last_token, now));
        }
        self.last_token = now;
    }

    fn on_end(&self, now: Instant, produced: u32, observed: &mut Observed) {
        let arrived = self.submission.arrived;
        let admitted = self.admitted.unwrap_or(now);
        let first_token = self.first_token.unwrap_or(now);
        let decode_s = seconds(first_token, now);
        observed.on_finished(self.submission.finish);
        for (timing, value) in [
            (Timing::EndToEnd, seconds(arrived, now)),
            (Timing::Queue, seconds(arrived, admitted)),
            (Timing::Prefill, seconds(admitted, first_token)),
            (Timing::Decode, decode_s),
            (Timing::Inference, seconds(admitted, now)),
            (
                Timing::TimePerOutputToken,
                decode_s / f64::from(produced.saturating_sub(1).max(1)),
            ),
            (Timing::PromptTokens, f64::from(self.prompt_tokens)),
            (Timing::GenerationTokens, f64::from(produced)),
            (Timing::MaxGenerationTokens, f64::from(produced)),
            (Timing::ParamsN, f64::from(self.submission.n)),
            (
                Timing::ParamsMaxTokens,
                f64::from(self.submission.max_tokens),
            ),
            (
                Timing::PrefillComputedTokens,
                f64::from(self.prompt_tokens.saturating_sub(self.cached_tokens)),
            ),
        ] {
            observed.observe(timing, value);
        }
    }
}

/// Records the adapters in use when they changed. Sets are compared by number. Names are looked up
/// only after a change.
fn note_adapters(
    engine: &Engine,
    adapters: &RwLock<Adapters>,
    seen: &mut (Vec<u32>, Vec<u32>),
    observed: &mut Observed,
) {
    if engine.profile().adapter_slots == 0 {
        return;
    }
    let mut running: Vec<u32> = engine.running_adapters().collect();
    let mut waiting: Vec<u32> = engine.waiting_adapters().collect();
    running.sort_unstable();
    waiting.sort_unstable();
    waiting.dedup();
    if seen.0 == running && seen.1 == waiting {
        return;
    }
    let names = adapters.read().unwrap_or_else(PoisonError::into_inner);
    let now_unix_s = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64();
    let joined = |ids: &[u32]| names.joined(ids.iter().copied());
    observed.on_adapters(joined(&running), joined(&waiting), now_unix_s);
    *seen = (running, waiting);
}

fn seconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64()
}

fn observed(shared: &Mutex<Observed>) -> std::sync::MutexGuard<'_, Observed> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
