//! What the ledger has of one endpoint, and of one send.

use crate::own::pending::Pending;
use crate::{EndpointId, Millis};

/// Requests on one endpoint that have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Count {
    pub(super) in_flight: u32,
    pub(super) pending: Pending,
}

/// The own work on one endpoint of the newest table.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Own {
    pub(super) count: Count,
    /// Work that the endpoint's row has not seen, in microseconds.
    pub(super) unseen_us: u64,
    /// Its number of requests, and their prompt tokens.
    pub(super) unseen: u32,
    pub(super) unseen_tokens: u64,
}

impl Own {
    pub(super) fn add_unseen(&mut self, send: &Send) {
        let requests = u32::from(!send.is_more);
        self.unseen_us = self.unseen_us.saturating_add(send.work_us);
        self.unseen = self.unseen.saturating_add(requests);
        self.unseen_tokens = self
            .unseen_tokens
            .saturating_add(u64::from(send.prompt_tokens));
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Send {
    /// The number of this send among all, from 0.
    pub(super) number: u64,
    pub(super) at: Millis,
    pub(super) endpoint: EndpointId,
    pub(super) work_us: u64,
    pub(super) prompt_tokens: u32,
    /// This is not a request, but more of the prompt of an earlier one.
    pub(super) is_more: bool,
}
