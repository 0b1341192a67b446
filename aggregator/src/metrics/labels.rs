//! Labels of metrics. The values of a label are the variants of an enum, so that every series of a
//! family is on the page from the first scrape, and a misspelt value does not compile.

use std::fmt::Debug;

use prometheus_client::metrics::counter::Counter;
use trimtab_estimate::Refusal;
use trimtab_loadtable::{ErrorKind, State};

/// A label, with all values that it can have.
pub(crate) trait Label: Copy + PartialEq + Debug + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// Every value, in the order of the page.
    const ALL: &'static [Self];

    /// Returns the value as the page has it.
    fn as_str(self) -> &'static str;
}

/// Declares a label and its values.
macro_rules! label {
    (
        $(#[$about:meta])*
        $label:ident, $name:literal: { $($(#[$what:meta])* $value:ident = $text:literal,)+ }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $label {
            $($(#[$what])* $value,)+
        }

        impl Label for $label {
            const NAME: &'static str = $name;
            const ALL: &'static [Self] = &[$(Self::$value),+];

            fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                }
            }
        }
    };
}

label! {
    /// How a scrape ended.
    Scraped, "result": {
        /// A page came that tells the load.
        Ok = "ok",
        /// There is no connection to the server.
        Connect = "connect",
        /// TLS failed, or is spoken by one side alone.
        Tls = "tls",
        /// The server does not answer.
        Timeout = "timeout",
        /// The server answers, but its page takes too long.
        Late = "late",
        /// The status is not 200.
        Status = "status",
        /// The answer leads elsewhere.
        Redirect = "redirect",
        /// The page is compressed.
        Compressed = "compressed",
        /// The file with the token cannot be read.
        Token = "token",
        /// The page is larger than `max_page_bytes`.
        TooLarge = "too_large",
        /// The answer broke off, or is no HTTP/1.1.
        Broken = "broken",
        /// The page has no signal of a known engine.
        NoSignals = "no_signals",
        /// None of these. Nothing counts here; readers of the page may name the series.
        Other = "other",
    }
}

label! {
    /// How a report came.
    Came, "kind": {
        /// With a proxy's long poll.
        Sync = "sync",
        /// Beside it, because something urgent had happened.
        News = "news",
        /// After a later one of the same proxy.
        Late = "late",
    }
}

label! {
    /// Why a report was not taken in.
    Refused, "reason": {
        /// It cannot be read, or is of another pool.
        Invalid = "invalid",
        /// It broke off, or is too large.
        TooLarge = "too_large",
        /// The same proxy has sent a later one.
        Old = "old",
        /// There are reports of `max_proxies` proxies.
        TooManyProxies = "too_many_proxies",
        /// It would exceed the pairs of proxy and endpoint.
        TooManyEndpoints = "too_many_endpoints",
        /// None of these. Nothing counts here; readers of the page may name the series.
        Other = "other",
    }
}

label! {
    /// What a proxy's long poll was answered with.
    Answered, "answer": {
        /// A table.
        Table = "table",
        /// There was no newer table for as long as the proxy wanted to wait.
        NoNews = "no_news",
        /// The report could not be read.
        Refused = "refused",
        /// None of these. Nothing counts here; readers of the page may name the series.
        Other = "other",
    }
}

label! {
    /// What became of a request whose sender had to say who it is.
    Judged, "result": {
        /// A client certificate that is allowed.
        Certificate = "certificate",
        /// A secret of the file.
        Bearer = "bearer",
        /// A token of a service account that is allowed.
        ServiceAccount = "service_account",
        /// Nothing was shown.
        Nothing = "nothing",
        /// What was shown is not valid.
        Wrong = "wrong",
        /// What was shown is valid, and not allowed.
        NotAllowed = "not_allowed",
        /// The API server could not be asked.
        NotKnown = "not_known",
    }
}

label! {
    /// How a TLS handshake ended.
    Handshake, "result": {
        /// There is a connection.
        Ok = "ok",
        /// The client speaks no TLS, refuses our certificate, or broke off.
        Failed = "failed",
        /// The client took too long.
        Timeout = "timeout",
    }
}

label! {
    /// How files of a listener that changed were taken in.
    Reload, "result": {
        /// They are in use.
        Ok = "ok",
        /// They cannot be used; the former ones stay.
        Failed = "failed",
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Old => Self::Old,
            Refusal::TooManyProxies => Self::TooManyProxies,
            Refusal::TooManyEndpoints => Self::TooManyEndpoints,
        }
    }
}

impl Label for State {
    const NAME: &'static str = "state";
    const ALL: &'static [Self] = &Self::ALL;

    fn as_str(self) -> &'static str {
        self.as_str()
    }
}

impl Label for ErrorKind {
    const NAME: &'static str = "kind";
    const ALL: &'static [Self] = &Self::ALL;

    fn as_str(self) -> &'static str {
        self.as_str()
    }
}

/// One metric for each value of a label.
#[derive(Debug)]
pub(crate) struct ByLabel<L, M> {
    metrics: Vec<(L, M)>,
}

impl<L: Label, M: Default> Default for ByLabel<L, M> {
    fn default() -> Self {
        let all = L::ALL.iter().map(|value| (*value, M::default()));
        Self {
            metrics: all.collect(),
        }
    }
}

impl<L: Label, M> ByLabel<L, M> {
    /// Returns each value with its metric.
    pub(super) fn iter(&self) -> impl Iterator<Item = (L, &M)> {
        self.metrics.iter().map(|(value, metric)| (*value, metric))
    }
}

impl<L: Label> ByLabel<L, Counter> {
    /// Adds one to the counter of `value`.
    pub(crate) fn count(&self, value: L) {
        self.count_many(value, 1);
    }

    /// Adds `by` to the counter of `value`.
    pub(crate) fn count_many(&self, value: L, by: u64) {
        for (_, counter) in self.iter().filter(|(own, _)| *own == value) {
            counter.inc_by(by);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<L: Label>() -> Vec<&'static str> {
        L::ALL.iter().map(|value| value.as_str()).collect()
    }

    #[test]
    fn a_value_counts_in_its_own_series_alone() {
        let by: ByLabel<Came, Counter> = ByLabel::default();
        by.count(Came::News);
        by.count_many(Came::Late, 3);
        let counts: Vec<_> = by.iter().map(|(value, one)| (value, one.get())).collect();
        assert_eq!(counts, [(Came::Sync, 0), (Came::News, 1), (Came::Late, 3)]);
    }

    #[test]
    fn values_of_a_label_differ_and_need_no_escapes() {
        for values in [
            values::<Scraped>(),
            values::<Came>(),
            values::<Refused>(),
            values::<Answered>(),
            values::<Judged>(),
            values::<Handshake>(),
            values::<Reload>(),
            values::<State>(),
            values::<ErrorKind>(),
        ] {
            for (at, value) in values.iter().enumerate() {
                let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
                assert!(value.bytes().all(plain), "{value}");
                assert!(!values.iter().skip(at + 1).any(|other| other == value));
            }
        }
    }
}
