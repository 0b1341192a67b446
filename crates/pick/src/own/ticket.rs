//! What the books have of one request.

use crate::EndpointId;
use crate::own::pending::Pending;

/// One request that was sent. The caller hands the ticket back when the request starts and ends.
#[derive(Debug)]
#[must_use = "a ticket that is dropped leaves its request in flight for ever"]
pub struct Ticket {
    pub(crate) endpoint: EndpointId,
    pub(crate) pending: Pending,
    pub(crate) started: bool,
    pub(crate) is_large: bool,
    pub(crate) predicted_s: Option<f32>,
    /// The first byte shows that the endpoint has recovered.
    pub(crate) probe: bool,
    /// The request was sent because a table asked to try out the endpoint.
    pub(crate) tries_out: bool,
    /// As [`Request::client`](crate::Request::client).
    pub(crate) client: u32,
    /// The endpoint had just refused this client. A success shows that the refusal was not the
    /// client's.
    pub(crate) doubts_refusal: bool,
}

impl Ticket {
    /// Returns where the request went.
    #[must_use]
    pub fn endpoint(&self) -> EndpointId {
        self.endpoint
    }

    /// Returns the prompt tokens that the endpoint is expected to prefill for the request. 0 once
    /// the first byte has come.
    #[must_use]
    pub fn uncached_tokens(&self) -> u64 {
        self.pending.tokens
    }

    /// Returns whether the placement is large, so that it should be reported at once.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.is_large
    }

    /// Returns whether the request went to an endpoint that failed recently, or that the table
    /// asked to try out. How its answer begins decides about the endpoint.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.probe || self.tries_out
    }

    /// Returns the predicted seconds from sending to the first byte of a streamed answer: the wait,
    /// and the request's own uncached prefill. Finite, 0 or more.
    ///
    /// The prediction uses the table and own work at the time of sending. It does not hold for a
    /// whole answer, whose first byte comes when decoding is over. Absent: the table is too old, or
    /// does not have the endpoint's wait or speed.
    #[must_use]
    pub fn predicted_s(&self) -> Option<f64> {
        self.predicted_s.map(f64::from)
    }

    /// Returns whether the first byte has not come.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !self.started
    }
}
