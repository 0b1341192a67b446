//! What is counted. Each counter has an enum of its own, whose variants are the values of the
//! counter's tag. So a misspelt value, or one of another counter, does not compile.

use trimtab_loadtable::ErrorKind;
use trimtab_pick::Reason;

use super::Counter;
use crate::facts::Ending;
use crate::host::HostError;
use crate::pair::messages::Fault;

/// Something that is counted.
pub(crate) trait Event: Copy {
    /// The counter.
    const COUNTER: Counter;

    /// Returns the value of the counter's tag. It is a constant of this program, so that the number
    /// of metrics is bounded.
    fn label(self) -> &'static str;
}

/// Declares the events of one counter.
macro_rules! events {
    (
        $(#[$about:meta])*
        $event:ident { $($(#[$what:meta])* $value:ident = $text:literal,)+ }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $event {
            $($(#[$what])* $value,)+
        }

        impl $event {
            /// Every value, in the order of declaration.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$value),+];
        }

        impl Event for $event {
            const COUNTER: Counter = Counter::$event;

            #[inline]
            fn label(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                }
            }
        }
    };
}

events! {
    /// A header from a client that only this filter may set.
    ForgedHeaders {
        /// The one that names the destination.
        Destination = "destination",
        /// The one that explains the decision.
        Explain = "explain",
    }
}

events! {
    /// A poll that was answered.
    Syncs {
        /// By a table.
        Table = "table",
        /// There was no newer table.
        NoNews = "no_news",
        /// By a table that this worker has already.
        SameTable = "same_table",
    }
}

events! {
    /// A call with an urgent report that ended.
    ReportCalls {
        /// The aggregator has the report.
        Sent = "sent",
        /// It may not have it.
        Failed = "failed",
        /// The proxy did not make the call.
        CallRefused = "call_refused",
    }
}

events! {
    /// A poll that failed.
    SyncErrors {
        /// The proxy never said how the call ended.
        Lost = "lost",
        /// The proxy does not know the aggregator's cluster.
        NoCluster = "no_cluster",
        /// The proxy did not make the call.
        CallRefused = "call_refused",
        /// 401 or 403: the aggregator (its setting `allow`), or something before it, does not let
        /// this proxy ask.
        Forbidden = "forbidden",
        /// 404: the aggregator does not have the pool.
        UnknownPool = "unknown_pool",
        /// 400 or 413: the aggregator cannot read the report.
        ReportRefused = "report_refused",
        /// 503: the proxy does not reach the aggregator, or that cannot ask the API server who this
        /// proxy is.
        Unreachable = "unreachable",
        /// 504: the aggregator did not answer in time.
        Timeout = "timeout",
        /// Another status.
        UnexpectedStatus = "unexpected_status",
        /// The call was reset.
        NoAnswer = "no_answer",
    }
}

events! {
    /// A table that was refused.
    TableRefusals {
        /// It has a format number that is not known here.
        Format = "format",
        /// It has more bytes than any table.
        TooLarge = "too_large",
        /// It cannot be decoded.
        Malformed = "malformed",
        /// It is of another pool.
        OtherPool = "other_pool",
        /// There is a newer one of the same aggregator.
        NotNewer = "not_newer",
    }
}

events! {
    /// A completion request that belongs to no pool.
    Unmatched {
        /// Its body was read.
        Read = "read",
        /// Its body was not read.
        Unread = "unread",
        /// Its cluster is none of a pool's.
        Cluster = "cluster",
    }
}

events! {
    /// A request that may be meant for a model, but whose path the filter does not place.
    Passed {
        /// A POST with JSON.
        Json = "json",
    }
}

events! {
    /// An observed request that the proxy has sent.
    Observed {
        /// To the endpoint that the filter would have chosen.
        Same = "same",
        /// To another one of the table.
        Other = "other",
        /// To one that is not in the table.
        Unlisted = "unlisted",
    }
}

events! {
    /// The predicted wait of an observed request.
    ObservedWaits {
        /// At the filter's choice.
        Trimtab = "trimtab",
        /// At the proxy's.
        Proxy = "proxy",
    }
}

/// A completion request that was decided on.
impl Event for Reason {
    const COUNTER: Counter = Counter::Decisions;

    #[inline]
    fn label(self) -> &'static str {
        self.as_str()
    }
}

/// The body of a completion request that was read.
impl Event for Ending {
    const COUNTER: Counter = Counter::Bodies;

    #[inline]
    fn label(self) -> &'static str {
        self.as_str()
    }
}

/// An endpoint that is left out for a while, by the last failure there.
impl Event for ErrorKind {
    const COUNTER: Counter = Counter::Ejections;

    #[inline]
    fn label(self) -> &'static str {
        self.as_str()
    }
}

/// A request that met a mistake of the setup.
impl Event for Fault {
    const COUNTER: Counter = Counter::SetupErrors;

    #[inline]
    fn label(self) -> &'static str {
        self.name()
    }
}

/// A hostcall that failed.
impl Event for HostError {
    const COUNTER: Counter = Counter::HostErrors;

    #[inline]
    fn label(self) -> &'static str {
        self.call
    }
}
