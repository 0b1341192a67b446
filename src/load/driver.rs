//! Sends one stream of sessions to several lanes at the same time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use trimtab_workload::Session;

use super::body::ChatBody;
use super::client::{Answer, Client, Failure};
use super::record::{Progress, Record};
use super::route::Route;

/// One way to the model servers, measured separately from the others.
#[derive(Debug)]
pub struct Lane {
    /// Name in reports.
    pub name: &'static str,
    /// Where the lane's requests go.
    pub route: Route,
    /// Results of the lane's requests.
    pub progress: Progress,
    /// The lane's connections.
    pub client: Client,
}

/// Settings for all requests of a run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Time zero of the sessions' start times.
    pub start: Instant,
    /// Seconds after the start. Only requests scheduled before are sent. A lane that lags may send
    /// them later.
    pub stop_s: f64,
    /// Seconds after the stop during which a lane that lags may still send what was scheduled
    /// before. Requests left after that count as skipped ([`Progress::skipped`]).
    pub catch_up_s: f64,
    /// How long to wait after the stop for answers under way.
    pub drain: Duration,
    /// Assumed duration of an answer, for the schedule of later turns.
    pub pace: Pace,
    /// Name of the base model.
    pub model: String,
    /// Names of the adapters, by index.
    pub adapters: Vec<String>,
}

/// The assumed duration of an answer.
///
/// It sets the schedule of a session's later turns, so that every lane gets the same requests at
/// the same times. A turn is sent later than scheduled only if the lane has not answered the turn
/// before. Without a schedule a slow lane would get fewer requests, and its slowness would lighten
/// its load.
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

/// Sends `sessions` to every lane and returns when all answers are complete or the drain is over.
///
/// Requests that are unfinished then are recorded as [`Failure::Unfinished`]. Dropping the future
/// ends every request.
///
/// - `sessions`: sessions in the order of their start times. Each is sent at its own time.
/// - `lanes`: all of them get the same requests.
/// - `plan`: settings of the run.
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
            lane.progress.on_skipped(scheduled_s);
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
            decision: None,
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

/// A request under way. It hands in its record exactly once, even if its task is aborted.
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
        record.decision.clone_from(&answer.decision);
        record.failure = answer.failure.clone();
    }
    Some(answer)
}

#[cfg(test)]
mod tests;
