//! What a decision means for a request: the hosts to name, or the hosts that would have been named.

use std::rc::Rc;

use trimtab_loadtable::State;
use trimtab_pick::{Booking, Decision, EndpointId, Reason};

use crate::facts::Digest;
use crate::pool::explain::Explanation;
use crate::pool::table::Loaded;

/// Behind a host that nobody else can stand in for. A retry would turn a temporary error into "not
/// found".
pub(crate) const ALONE: char = ',';
/// Behind hosts of which one may have what the request is about.
pub(crate) const ANY: char = '?';
/// As [`ANY`], where whoever has it answers at once.
pub(crate) const ANY_AT_ONCE: char = '!';

/// Most servers that are asked for what no proxy knows of.
const MOST_ASKED: usize = 16;

/// What was decided on a request.
#[derive(Debug, Default)]
pub(crate) struct Placed {
    /// Why. Absent: nothing was decided.
    pub(crate) reason: Option<Reason>,
    /// Absent: no opinion; the proxy balances by itself.
    pub(crate) placement: Option<Choice>,
    /// Absent: nobody wants to read an explanation.
    pub(crate) explanation: Option<Box<Explanation>>,
}

/// Where a request shall go.
#[derive(Debug)]
pub(crate) struct Choice {
    /// `ip:port`, best first, with commas between them: up to three, or one with [`ALONE`] behind
    /// it if nobody else can serve the request, or more with [`ANY`] or [`ANY_AT_ONCE`] behind them
    /// if any of them may.
    pub(crate) hosts: String,
    /// The name that the request is about, if nobody knows which server keeps it.
    pub(crate) sought: Option<Digest>,
    pub(crate) booking: Booking,
    /// The answer is known to be streamed.
    pub(crate) streams: bool,
    /// As [`Head::tells`](crate::facts::Head::tells).
    pub(crate) tells: bool,
    /// Reports count the request. They do not count a request that only asks for something that is
    /// kept: no engine works on it, so its answer shows nothing about an engine.
    pub(crate) is_counted: bool,
    /// All of the request's body has come.
    pub(crate) is_whole: bool,
    /// The request is observed: the proxy chooses, and this is what the filter would have done.
    pub(crate) observed: bool,
    pub(crate) endpoint: EndpointId,
    /// Address of the first host.
    pub(crate) address: Rc<str>,
    /// Predicted seconds until prefill starts there. Absent: not known.
    wait_s: Option<f64>,
}

/// What the filter would have done with an observed request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed {
    pub(crate) endpoint: EndpointId,
    /// Predicted seconds until prefill starts there. Absent: not known.
    pub(crate) wait_s: Option<f64>,
    /// As [`Choice::is_counted`].
    pub(crate) is_counted: bool,
}

impl Choice {
    /// Makes the choice from a decision by the table `loaded`. Returns `None` if the decision has
    /// no opinion.
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
        let mut all = hosts.join(",");
        if is_only {
            all.push(ALONE);
        }
        Some(Self {
            hosts: all,
            sought: None,
            booking: decision.booking,
            streams,
            tells: false,
            is_counted: true,
            is_whole: false,
            observed,
            endpoint: trimtab_loadtable::endpoint_id(&loaded.table.placement_key, first),
            address: first.into(),
            wait_s: decision.wait_s,
        })
    }

    /// Lists the other servers too, for a request about something of that name if nobody knows
    /// which server keeps it. Envoy asks one after the other as long as they answer 404.
    ///
    /// Suspect servers are not asked: one that hangs would hold the request for long.
    ///
    /// - `at_once`: whoever has the thing answers at once.
    pub(crate) fn seek(&mut self, loaded: &Loaded, name: Digest, at_once: bool) {
        let rows = &loaded.table.endpoints;
        let first = rows.iter().position(|row| *row.address == *self.address);
        let (before, behind) = rows.split_at(first.unwrap_or(0));
        let others = behind.iter().chain(before);
        let mut room = MOST_ASKED.saturating_sub(self.hosts.split(',').count());
        for row in others.filter(|row| row.state != State::Suspect) {
            if room == 0 {
                break;
            }
            if !self.hosts.split(',').any(|host| host == row.address) {
                self.hosts.push(',');
                self.hosts.push_str(&row.address);
                room -= 1;
            }
        }
        self.hosts.push(if at_once { ANY_AT_ONCE } else { ANY });
        self.sought = Some(name);
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
