//! Sends one stream of sessions to several lanes at the same time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use trimtab_workload::Session;

use super::body::ChatBody;
use super::client::{Answer, Client, Failure};
use super::record::{Progress, Record};
use super::route::Route;

/// One way to the model servers, measured on its own.
#[derive(Debug)]
pub struct Lane {
    /// Its name in reports.
    pub name: &'static str,
    /// Where its requests go.
    pub route: Route,
    /// What became of them.
    pub progress: Progress,
    /// Its connections.
    pub client: Client,
}

/// What holds for all requests of a run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Time zero of the sessions' start times.
    pub start: Instant,
    /// Requests scheduled before this are sent, in seconds after the start; in a lane that lags perhaps later.
    pub stop_s: f64,
    /// A lane that lags may send what was scheduled before the stop for so many seconds longer; what it has not sent
    /// then is counted as skipped ([`Progress::skipped`]).
    pub catch_up_s: f64,
    /// How long to wait, after the stop, for answers under way.
    pub drain: Duration,
    /// What an answer is assumed to take in the schedule of later turns.
    pub pace: Pace,
    /// The base model's name.
    pub model: String,
    /// Names of the adapters, by index.
    pub adapters: Vec<String>,
}

/// The assumed duration of an answer. It makes the schedule of a session's later turns, so that every lane is asked the
/// same at the same moments; a turn is later than its schedule only in a lane that has not answered the turn before.
/// Without a schedule a slow lane would be asked less, and its load would be lighter for being slow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Seconds to the first token.
    pub ttft_s: f64,
    /// Seconds per token after that.
    pub tpot_s: f64,
}

impl Pace {
    fn answer_s(self, tokens: u32) -> f64 {
        self.ttft_s + self.tpot_s * f64::from(tokens)
    }
}

/// Sends `sessions` to every lane, each at its own time, and returns when all answers are in or the drain is over;
/// what is unfinished then is recorded as [`Failure::Unfinished`]. Dropping the future ends every request.
pub async fn drive(sessions: impl Iterator<Item = Session>, lanes: &[Arc<Lane>], plan: Plan) {
    let plan = Arc::new(plan);
    let mut running = JoinSet::new();
    for session in sessions {
        if session.start_s() >= plan.stop_s {
            break;
        }
        sleep_until(plan.start, session.start_s()).await;
        for lane in lanes {
            running.spawn(run_session(session.clone(), lane.clone(), plan.clone()));
        }
        while running.try_join_next().is_some() {}
    }
    sleep_until(plan.start, plan.stop_s).await;
    let drained = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(plan.drain, drained).await.is_err() {
        running.shutdown().await;
    }
}

async fn sleep_until(start: Instant, at_s: f64) {
    tokio::time::sleep_until((start + Duration::from_secs_f64(at_s)).into()).await;
}

async fn run_session(session: Session, lane: Arc<Lane>, plan: Arc<Plan>) {
    let mut body = ChatBody::default();
    let (mut scheduled_s, mut free_s) = (session.start_s(), 0.0_f64);
    let (index, family) = (session.index(), session.family().clone());
    for (number, turn) in (0_u32..).zip(session) {
        scheduled_s += turn.think_s;
        if scheduled_s >= plan.stop_s {
            return;
        }
        let due_s = scheduled_s.max(free_s + turn.think_s);
        if due_s >= plan.stop_s + plan.catch_up_s {
            lane.progress.on_skipped();
            scheduled_s += plan.pace.answer_s(turn.answer.tokens);
            continue;
        }
        sleep_until(plan.start, due_s).await;
        let bytes = body.write(&turn, &plan.model, &plan.adapters);
        let record = Record {
            session: index,
            turn: number,
            family: family.clone(),
            scheduled_s,
            due_s,
            sent_s: plan.start.elapsed().as_secs_f64(),
            ttft_s: None,
            tpot_s: None,
            prompt_tokens: turn.prompt.tokens(),
            cached_tokens: 0,
            output_tokens: 0,
            endpoint: None,
            failure: Some(Failure::Unfinished),
        };
        let mut pending = Pending {
            lane: &lane,
            record: Some(record),
        };
        let Some(answer) = exchange(&lane, &mut pending, bytes).await else {
            return;
        };
        if answer.failure.is_some() {
            return;
        }
        body.on_answer(turn.answer.id, answer.escaped);
        free_s = plan.start.elapsed().as_secs_f64();
        scheduled_s += plan.pace.answer_s(turn.answer.tokens);
    }
}

/// A request under way. Hands in its record exactly once, also when the task is ended in the middle.
struct Pending<'a> {
    lane: &'a Lane,
    record: Option<Record>,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(record) = self.record.take() {
            self.lane.progress.on_done(record);
        }
    }
}

async fn exchange(lane: &Lane, pending: &mut Pending<'_>, bytes: bytes::Bytes) -> Option<Answer> {
    lane.progress.on_sent();
    let target = lane.route.target()?;
    let sent = Instant::now();
    let on_first = |now: Instant| {
        lane.progress
            .on_first(now, now.duration_since(sent).as_secs_f64())
    };
    let answer = lane.client.send(target.address, bytes, on_first).await;
    if let Some(record) = pending.record.as_mut() {
        let seconds = |at: Instant| at.duration_since(sent).as_secs_f64();
        let usage = answer.usage.unwrap_or_default();
        record.ttft_s = answer.first_at.map(seconds);
        record.output_tokens = usage.completion_tokens;
        record.cached_tokens = usage.cached_tokens.unwrap_or(0);
        record.prompt_tokens = if usage.prompt_tokens > 0 {
            usage.prompt_tokens
        } else {
            record.prompt_tokens
        };
        let decode_s = answer
            .first_at
            .zip(answer.last_at)
            .map(|(first, last)| last.duration_since(first).as_secs_f64());
        record.tpot_s = decode_s
            .filter(|_| usage.completion_tokens > 1)
            .map(|s| s / f64::from(usage.completion_tokens - 1));
        record.endpoint = answer
            .upstream
            .clone()
            .or_else(|| target.server.map(|address| address.to_string()));
        record.failure = answer.failure.clone();
    }
    Some(answer)
}

#[cfg(test)]
mod tests;
