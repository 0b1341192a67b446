//! Turns a request's body into the sequences that it asks for.

use super::Shared;
use super::body::Body;
use super::error::ApiError;
use super::kinds::{Choice, Kind};
use super::limits::Limits;
use super::render::render;
use crate::call::Call;
use crate::driver::{Command, Submission};
use crate::text::{Answer, Tokens, mix};
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use tokio::time::Instant;
use trimtab_engine::Request;

/// Most sequences of one request: prompts times `n`.
const SEQUENCE_LIMIT: usize = 128;

/// A request that the driver works on. Dropping it before its end cancels its sequences.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) kind: Kind,
    pub(super) call: Arc<Call>,
    pub(super) choices: Vec<Choice>,
    /// Tokens of all prompts. Each prompt counts once for any `n`.
    pub(super) prompt_tokens: u64,
    /// The model name that the client used.
    pub(super) model: String,
    pub(super) id: String,
    pub(super) created_unix_s: u64,
    pub(super) include_usage: bool,
    pub(super) shared: Arc<Shared>,
    ids: Range<u64>,
}

impl Drop for Job {
    fn drop(&mut self) {
        self.shared
            .sequences
            .fetch_sub(self.choices.len(), Ordering::Relaxed);
        let complete = (0..)
            .zip(&self.choices)
            .all(|(part, c)| self.call.produced(part) >= c.output_tokens);
        if !complete {
            // The driver ends only with the server.
            let _ = self.shared.commands.send(Command::Cancel(self.ids.clone()));
        }
    }
}

impl Job {
    /// Checks the request, plans its answers and sends them to the driver.
    pub(super) fn start(shared: Arc<Shared>, kind: Kind, body: Body) -> Result<Self, ApiError> {
        let arrived = Instant::now();
        let adapter = adapter_of(&shared, body.model.as_deref())?;
        let rendered = render(
            kind,
            &body,
            shared.key,
            adapter.map_or(0, |id| u64::from(id) + 1),
        )?;
        let n = body.n.unwrap_or(1);
        let count = rendered.len().saturating_mul(n as usize);
        if n == 0 || count > SEQUENCE_LIMIT {
            let message = format!(
                "'n' times the number of prompts must be 1 to {SEQUENCE_LIMIT}, got {count}."
            );
            return Err(ApiError::bad_request(Some("n"), message));
        }
        let limits = rendered
            .iter()
            .map(|tokens| Limits::of(kind, &body, tokens.count(), shared.context_tokens))
            .collect::<Result<Vec<_>, _>>()?;
        let prompt_tokens = rendered
            .iter()
            .map(|tokens| u64::from(tokens.count()))
            .sum();
        reserve(&shared, count)?;

        let first = shared.next_id.fetch_add(count as u64, Ordering::Relaxed);
        let call = Arc::new(Call::new(count));
        let (mut choices, mut submissions) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for (tokens, limits) in rendered.iter().zip(&limits) {
            for variant in 0..n {
                let part = choices.len();
                let seed = body.seed.unwrap_or(0) as u64 ^ mix(u64::from(variant));
                let choice = limits.choose(Answer {
                    seed: tokens.fingerprint() ^ seed,
                });
                choices.push(choice);
                submissions.push(Submission {
                    request: request(first + part as u64, tokens.clone(), choice, adapter),
                    call: call.clone(),
                    part,
                    arrived,
                    max_tokens: limits.max_tokens,
                    n,
                    finish: choice.finish,
                });
            }
        }
        let job = Self {
            kind,
            call,
            choices,
            prompt_tokens,
            id: format!("{}{:016x}", kind.prefix(), mix(shared.key ^ first)),
            created_unix_s: shared.started_unix_s + shared.started.elapsed().as_secs(),
            include_usage: body.wants_usage(),
            model: body.model.unwrap_or_else(|| shared.spec.model.clone()),
            ids: first..first + count as u64,
            shared,
        };
        job.shared
            .commands
            .send(Command::Submit(submissions))
            .map_err(|_| ApiError::stopped())?;
        Ok(job)
    }

    /// Returns the tokens found in the prefix cache, over all sequences. Only valid at the end.
    pub(super) fn cached_tokens(&self) -> u64 {
        (0..self.choices.len())
            .map(|part| u64::from(self.call.cached_tokens(part)))
            .sum()
    }

    /// Returns the tokens of all answers.
    pub(super) fn completion_tokens(&self) -> u64 {
        self.choices
            .iter()
            .map(|choice| u64::from(choice.output_tokens))
            .sum()
    }
}

/// Reserves `count` sequences. Returns an error if there would be too many.
fn reserve(shared: &Shared, count: usize) -> Result<(), ApiError> {
    let most = shared.spec.max_sequences;
    let add = |held: usize| held.checked_add(count).filter(|total| *total <= most);
    match shared
        .sequences
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
    {
        Ok(_) => Ok(()),
        Err(_) => Err(ApiError::overloaded(most)),
    }
}

fn adapter_of(shared: &Shared, model: Option<&str>) -> Result<Option<u32>, ApiError> {
    let Some(model) = model.filter(|model| *model != shared.spec.model) else {
        return Ok(None);
    };
    let adapters = shared
        .adapters
        .read()
        .unwrap_or_else(PoisonError::into_inner);
    match adapters.id(model) {
        Some(id) => Ok(Some(id)),
        None => Err(ApiError::not_found(
            Some("model"),
            format!("The model `{model}` does not exist."),
        )),
    }
}

/// Makes the engine's request. The chain also covers the answer, so that the next turn of a
/// conversation finds it in the cache.
fn request(id: u64, mut tokens: Tokens, choice: Choice, adapter: Option<u32>) -> Request {
    let prompt_tokens = tokens.count();
    for index in 0..choice.output_tokens {
        tokens.push_text(choice.answer.word(index));
    }
    Request {
        id,
        prompt_tokens,
        output_tokens: choice.output_tokens,
        chain: tokens.into_chain(),
        adapter,
    }
}
