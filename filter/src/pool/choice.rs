//! What a decision means for a request: hosts to name, or what would have been named.

use std::rc::Rc;

use trimtab_pick::{Booking, Decision, EndpointId, Reason};

use crate::pool::explain::Explanation;
use crate::pool::table::Loaded;

/// What was decided on a request.
#[derive(Debug, Default)]
pub(crate) struct Placed {
    /// Absent: no opinion, the proxy balances by itself.
    pub(crate) placement: Option<Choice>,
    /// Absent: nobody wants to read it.
    pub(crate) explanation: Option<Box<Explanation>>,
}

/// Where a request shall go.
#[derive(Debug)]
pub(crate) struct Choice {
    /// Up to three `ip:port`, best first, with commas between them; one with a comma behind it where nobody else can serve the request.
    pub(crate) hosts: String,
    pub(crate) booking: Booking,
    /// Its answer is known to be streamed.
    pub(crate) streams: bool,
    /// Its answer names something that its server keeps from now on.
    pub(crate) makes: bool,
    /// Reports count it. Not what only asks for something that is kept: no engine works on that, so an answer shows nothing of one.
    pub(crate) is_counted: bool,
    /// All of the request's body is there.
    pub(crate) is_whole: bool,
    /// The request is not placed: the proxy chooses, and this is what would have been done.
    pub(crate) observed: bool,
    pub(crate) endpoint: EndpointId,
    /// Of the first host.
    pub(crate) address: Rc<str>,
    /// Predicted seconds until prefill starts there; absent: not known.
    wait_s: Option<f64>,
}

/// What a request that is observed would have done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed {
    pub(crate) endpoint: EndpointId,
    /// Predicted seconds until prefill starts there; absent: not known.
    pub(crate) wait_s: Option<f64>,
    /// As [`Choice::is_counted`].
    pub(crate) is_counted: bool,
}

impl Choice {
    /// Of a decision by that table. `None`: no opinion.
    pub(crate) fn new(
        loaded: &Loaded,
        decision: &Decision,
        max_hosts: usize,
        streams: bool,
        observed: bool,
    ) -> Option<Self> {
        let row = |index: &u32| loaded.table.endpoints.get(usize::try_from(*index).ok()?);
        let is_only = decision.reason == Reason::Held;
        let most = if is_only { 1 } else { max_hosts };
        let choices = decision.choices.as_slice().iter().take(most);
        let hosts: Vec<&str> = choices
            .filter_map(row)
            .map(|row| row.address.as_str())
            .collect();
        let first = *hosts.first()?;
        Some(Self {
            hosts: hosts.join(",") + if is_only { "," } else { "" },
            booking: decision.booking,
            streams,
            makes: false,
            is_counted: true,
            is_whole: false,
            observed,
            endpoint: trimtab_loadtable::endpoint_id(&loaded.table.placement_key, first),
            address: first.into(),
            wait_s: decision.wait_s,
        })
    }

    /// For comparison with what the proxy does.
    pub(crate) fn observed(&self) -> Observed {
        Observed {
            endpoint: self.endpoint,
            wait_s: self.wait_s,
            is_counted: self.is_counted,
        }
    }
}
