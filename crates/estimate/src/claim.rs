//! What one proxy reports of one endpoint, as far as it is believed.

use crate::endpoint::{Endpoint, Since};
use crate::flight::Flight;
use crate::service::Answers;
use std::time::Duration;

/// Requests that one proxy may claim at an endpoint, whatever the server says. Bursts run ahead of
/// scrapes.
const SLACK_REQUESTS: f64 = 32.0;
/// Beyond that, a claim counts up to this multiple of the requests that the server itself reports.
const MAX_OVER_SERVER: f64 = 2.0;
/// Most requests of a claim at an endpoint that reports no requests.
const MAX_UNCONFIRMED: f64 = 1024.0;
/// More tokens than any prompt that an engine in use takes. Bounds the tokens of a claimed request.
const MAX_PROMPT_TOKENS: f64 = 2_097_152.0;

/// What one proxy's newest report says of one endpoint.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Claim {
    pub(crate) id: u32,
    pub(crate) pending_tokens: u32,
    sent: u64,
    sent_tokens: u64,
    started: u64,
    finished: u64,
    failed: u64,
    /// The bounded part that counts.
    pub(crate) counts: Flight,
}

/// Returns the most requests that one proxy's claim counts for at an endpoint.
fn bound(in_engine: Option<f64>) -> f64 {
    in_engine.map_or(MAX_UNCONFIRMED, |held| {
        SLACK_REQUESTS.max(MAX_OVER_SERVER * held)
    })
}

impl Claim {
    /// Makes the claim of a report's entry. A wrong proxy counts for no more than a small multiple
    /// of what the server reports.
    pub(crate) fn new(endpoint: &Endpoint, report: &trimtab_loadtable::EndpointReport) -> Self {
        // `as` from a float saturates.
        let most = bound(endpoint.in_engine()) as u64;
        let requests = u64::from(report.in_flight).min(most);
        // Requests whose bodies are still coming are pending, but not in flight.
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

    /// Takes in a proxy's first claim: its pending work lies ahead of new requests.
    pub(crate) fn begin(&self, now: Duration, endpoint: &mut Endpoint) {
        let most = bound(endpoint.in_engine()) * MAX_PROMPT_TOKENS;
        endpoint
            .backlog
            .add(now, f64::from(self.pending_tokens).min(most));
    }

    /// Adds what happened at the endpoint since `before`. The counts since the last scrape get the
    /// part that falls after it: a report's differences are spread evenly over the time since the
    /// report before.
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
