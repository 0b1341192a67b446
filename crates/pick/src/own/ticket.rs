//! What the books have of one request.

use crate::EndpointId;
use crate::own::pending::Pending;

/// One request that was sent, to be handed back when it starts and ends.
#[derive(Debug)]
#[must_use = "a ticket that is dropped leaves its request in flight for ever"]
pub struct Ticket {
    pub(crate) endpoint: EndpointId,
    pub(crate) pending: Pending,
    pub(crate) started: bool,
    pub(crate) is_large: bool,
    pub(crate) predicted_s: Option<f32>,
    /// Its first byte shows that the endpoint has recovered.
    pub(crate) probe: bool,
    /// It was sent because a table asked to try the endpoint out.
    pub(crate) tries_out: bool,
}

impl Ticket {
    /// Where the request went.
    #[must_use]
    pub fn endpoint(&self) -> EndpointId {
        self.endpoint
    }

    /// Prompt tokens that the endpoint is expected to prefill for the request; 0 once its first byte came.
    #[must_use]
    pub fn uncached_tokens(&self) -> u64 {
        self.pending.tokens
    }

    /// Whether the request brings so much prefill to its endpoint that the others should know at once.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.is_large
    }

    /// Whether it went where requests failed lately, or where none goes otherwise: how its answer begins decides about the endpoint.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.probe || self.tries_out
    }

    /// Seconds from sending to the first byte of a streamed answer, as the table and own work had it when the request was sent there: the wait
    /// and its own uncached prefill. The first byte of a whole answer comes when decoding is over, of which nothing is predicted. Finite, 0 or
    /// more. Absent: the table is too old, or it does not say the endpoint's wait or speed.
    #[must_use]
    pub fn predicted_s(&self) -> Option<f64> {
        self.predicted_s.map(f64::from)
    }

    /// Whether the first byte has not come.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !self.started
    }
}
