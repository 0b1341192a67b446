//! What one proxy says of one endpoint, as far as it is believed.

use crate::endpoint::{Endpoint, Since};
use crate::flight::Flight;
use crate::service::Answers;
use std::time::Duration;

/// Requests that one proxy may claim on an endpoint whatever the server says: bursts run ahead of scrapes.
const SLACK_REQUESTS: f64 = 32.0;
/// Beyond the slack a claim counts up to this multiple of what the server itself says it holds.
const MAX_OVER_SERVER: f64 = 2.0;
/// Claim on an endpoint that says nothing.
const MAX_UNCONFIRMED: f64 = 1024.0;
/// No engine in use takes longer prompts; bounds the tokens that one claimed request may bring.
const MAX_PROMPT_TOKENS: f64 = 2_097_152.0;

/// One proxy's newest words on one endpoint.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Claim {
    pub(crate) id: u32,
    pub(crate) pending_tokens: u32,
    sent: u64,
    sent_tokens: u64,
    started: u64,
    finished: u64,
    failed: u64,
    /// What it counts for.
    pub(crate) counts: Flight,
}

/// Most requests that one proxy's word counts for on an endpoint.
fn bound(in_engine: Option<f64>) -> f64 {
    in_engine.map_or(MAX_UNCONFIRMED, |held| {
        SLACK_REQUESTS.max(MAX_OVER_SERVER * held)
    })
}

impl Claim {
    /// A report's words on an endpoint. A proxy that is wrong counts for no more than a small multiple of what the server says it
    /// holds.
    pub(crate) fn new(endpoint: &Endpoint, report: &trimtab_loadtable::EndpointReport) -> Self {
        // `as` from float saturates.
        let most = bound(endpoint.in_engine()) as u64;
        let requests = u64::from(report.in_flight).min(most);
        // Those whose bodies are still coming are pending and not in flight.
        let known = u64::from(report.in_flight.max(report.pending)).min(most);
        let most_tokens = known.saturating_mul(MAX_PROMPT_TOKENS as u64);
        Self {
            id: endpoint.id,
            pending_tokens: report.pending_tokens,
            sent: report.sent,
            sent_tokens: report.sent_tokens,
            started: report.started,
            finished: report.finished,
            failed: report.failed,
            counts: Flight {
                requests,
                pending: u64::from(report.pending).min(known),
                pending_tokens: u64::from(report.pending_tokens).min(most_tokens),
            },
        }
    }

    /// The first words of a proxy: what it waits for is ahead of others.
    pub(crate) fn begin(&self, now: Duration, endpoint: &mut Endpoint) {
        let most = bound(endpoint.in_engine()) * MAX_PROMPT_TOKENS;
        endpoint
            .backlog
            .add(now, f64::from(self.pending_tokens).min(most));
    }

    /// Adds what happened since `before` to the endpoint, as far as it falls after its last scrape: a report's differences are
    /// spread evenly over the time since the report before.
    pub(crate) fn forward(
        &self,
        before: &Self,
        before_at: Duration,
        now: Duration,
        endpoint: &mut Endpoint,
    ) {
        let most = bound(endpoint.in_engine());
        let tokens = self.sent_tokens.saturating_sub(before.sent_tokens) as f64;
        endpoint
            .backlog
            .add(now, tokens.min(most * MAX_PROMPT_TOKENS));
        if self.started > before.started {
            endpoint.backlog.on_progress(now);
            endpoint.stall.on_progress(now);
        }
        let requests = self.sent.saturating_sub(before.sent) as f64;
        endpoint.found.on_sent(
            now,
            requests.min(most),
            tokens.min(most * MAX_PROMPT_TOKENS),
        );
        let more = |old: u64, new: u64| new.saturating_sub(old);
        endpoint.service.on_report(
            now,
            &Answers {
                sent: more(before.sent, self.sent),
                started: more(before.started, self.started),
                finished: more(before.finished, self.finished),
                failed: more(before.failed, self.failed),
            },
        );
        let Some((scraped_at, _)) = endpoint.sample else {
            return;
        };
        let new = Since {
            sent: (more(before.sent, self.sent) as f64).min(most),
            started: (more(before.started, self.started) as f64).min(most),
            finished: (more(before.finished, self.finished) as f64).min(most),
        };
        let span = now.saturating_sub(before_at).as_secs_f64();
        let share_after = |at: Duration| {
            let after = now.saturating_sub(at.max(before_at)).as_secs_f64();
            if span > 0.0 { after / span } else { 1.0 }
        };
        endpoint.since.add(&new, share_after(scraped_at));
        let share = share_after(endpoint.arrived_at);
        endpoint.since_arrival.add(&new, share);
    }
}
