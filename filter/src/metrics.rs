//! What the operator sees: counters and gauges of the proxy.
//!
//! Wasm metrics have no labels. So a name spells out its tags, in the way that the proxy's
//! `stats_tags` take them out again ([`MetricNames`]). A dot in a pool's name becomes `_`.
//!
//! Counting costs no hostcall: counts are kept here, and each tick hands them over.

mod events;

use std::collections::BTreeMap;

use crate::config::MetricNames;
use crate::host::{self, HostError, MetricKind};
pub(crate) use events::{
    Event, ForgedHeaders, Observed, ObservedWaits, Passed, ReportCalls, SyncErrors, Syncs,
    TableRefusals, Unmatched,
};

/// A counter, by its name without the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Counter {
    /// Completion requests, by what was decided and why.
    Decisions,
    /// Requests whose client sent a header that only this filter may set.
    ForgedHeaders,
    /// Bodies of completion requests that were read, by how the reading ended.
    Bodies,
    /// Answers of the aggregator, by kind.
    Syncs,
    /// Calls with an urgent report, by how they ended.
    ReportCalls,
    /// Sync calls that failed: neither a table nor "nothing newer" came.
    SyncErrors,
    /// Tables that were refused.
    TableRefusals,
    /// Requests that met a mistake of the setup, by mistake.
    SetupErrors,
    /// Completion requests that belong to no pool.
    Unmatched,
    /// Requests that may be meant for a model, but whose paths the filter does not place.
    Passed,
    /// Observed requests, by whether the proxy chose the same endpoint.
    Observed,
    /// Sums of the predicted waits of observed requests, in milliseconds: of the filter's choice
    /// and of the proxy's.
    ObservedWaits,
    /// Endpoints that a worker left out for a while, by the last failure that it had seen.
    Ejections,
    /// Hostcalls that failed.
    HostErrors,
}

impl Counter {
    /// Every counter, in the order of declaration.
    pub(crate) const ALL: [Self; 14] = [
        Self::Decisions,
        Self::ForgedHeaders,
        Self::Bodies,
        Self::Syncs,
        Self::ReportCalls,
        Self::SyncErrors,
        Self::TableRefusals,
        Self::SetupErrors,
        Self::Unmatched,
        Self::Passed,
        Self::Observed,
        Self::ObservedWaits,
        Self::Ejections,
        Self::HostErrors,
    ];

    /// Returns what it counts, for documents.
    pub(crate) fn help(self) -> &'static str {
        match self {
            Self::Decisions => "Completion requests, by what was decided and why.",
            Self::ForgedHeaders => {
                "Requests whose client sent a header that only the filter may set; it was removed."
            }
            Self::Bodies => "Bodies of completion requests that were read, by how that ended.",
            Self::Syncs => "Answers of the aggregator, by kind.",
            Self::ReportCalls => "Calls with an urgent report, by how they ended.",
            Self::SyncErrors => "Sync calls that failed, by why.",
            Self::TableRefusals => "Tables that were refused, by why; the last good one stays.",
            Self::SetupErrors => "Requests that met a mistake of the setup; the log has the fix.",
            Self::Unmatched => {
                "Completion requests that belong to no pool: their body was read or not, or their cluster is none of a pool's."
            }
            Self::Passed => "POSTs with JSON whose path is none of `paths`.",
            Self::Observed => "Observed requests, by where the proxy sent them.",
            Self::ObservedWaits => {
                "Sums of the predicted waits of observed requests, at the filter's choice and at the proxy's."
            }
            Self::Ejections => {
                "Endpoints that a worker left out for a while, by the last failure there."
            }
            Self::HostErrors => "Hostcalls that failed, by the call.",
        }
    }

    /// Returns the counter's name and its tag. [`crate::names`] lists the values that the tag can
    /// have.
    pub(crate) fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Decisions => ("trimtab_decisions_total", "reason"),
            Self::ForgedHeaders => ("trimtab_forged_headers_total", "header"),
            Self::Bodies => ("trimtab_bodies_total", "kind"),
            Self::Syncs => ("trimtab_syncs_total", "answer"),
            Self::ReportCalls => ("trimtab_report_calls_total", "result"),
            Self::SyncErrors => ("trimtab_sync_errors_total", "reason"),
            Self::TableRefusals => ("trimtab_table_refusals_total", "reason"),
            Self::SetupErrors => ("trimtab_setup_errors_total", "reason"),
            Self::Unmatched => ("trimtab_unmatched_total", "kind"),
            Self::Passed => ("trimtab_passed_total", "kind"),
            Self::Observed => ("trimtab_observed_total", "choice"),
            Self::ObservedWaits => ("trimtab_observed_wait_ms_total", "choice"),
            Self::Ejections => ("trimtab_ejections_total", "kind"),
            Self::HostErrors => ("trimtab_host_errors_total", "call"),
        }
    }
}

/// A gauge, by its name without the pool. The holder of the lease sets it for the whole proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gauge {
    /// Age of the newest table in milliseconds: its age on arrival, plus the time since then.
    TableAgeMs,
    /// Endpoints of the newest table.
    TableEndpoints,
    /// Requests that went out in full and have not ended.
    InFlight,
    /// Memory of the largest VM that decides for the pool, in bytes. It never shrinks.
    MemoryBytes,
}

impl Gauge {
    /// Every gauge, in the order of declaration.
    pub(crate) const ALL: [Self; 4] = [
        Self::TableAgeMs,
        Self::TableEndpoints,
        Self::InFlight,
        Self::MemoryBytes,
    ];

    /// Returns what it tells, for documents.
    pub(crate) fn help(self) -> &'static str {
        match self {
            Self::TableAgeMs => "Age of the newest table.",
            Self::TableEndpoints => "Endpoints of the newest table.",
            Self::InFlight => "Requests that went out in full and have not ended.",
            Self::MemoryBytes => {
                "Memory of the largest VM that decides for the pool. It never shrinks."
            }
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TableAgeMs => "trimtab_table_age_ms",
            Self::TableEndpoints => "trimtab_table_endpoints",
            Self::InFlight => "trimtab_in_flight",
            Self::MemoryBytes => "trimtab_memory_bytes",
        }
    }
}

#[derive(Debug, Default)]
struct Count {
    id: Option<u32>,
    pending: u64,
}

/// Metrics of one pool.
#[derive(Debug)]
pub(crate) struct Metrics {
    names: MetricNames,
    pool: String,
    counters: BTreeMap<(Counter, &'static str), Count>,
    gauges: BTreeMap<Gauge, u32>,
}

impl Metrics {
    pub(crate) fn new(names: MetricNames, pool: &str) -> Self {
        Self {
            names,
            pool: pool.replace('.', "_"),
            counters: BTreeMap::new(),
            gauges: BTreeMap::new(),
        }
    }

    /// Counts one event.
    #[inline]
    pub(crate) fn count<E: Event>(&mut self, event: E) {
        self.add(event, 1);
    }

    /// As [`Self::count`], for several events or for an amount.
    #[inline]
    pub(crate) fn add<E: Event>(&mut self, event: E, by: u64) {
        self.add_to(E::COUNTER, event.label(), by);
    }

    /// As [`Self::add`], for an event that was taken apart into its counter and its label.
    pub(crate) fn add_to(&mut self, counter: Counter, label: &'static str, by: u64) {
        let count = self.counters.entry((counter, label)).or_default();
        count.pending = count.pending.saturating_add(by);
    }

    /// Hands the counts to the proxy. The next call offers again what the proxy does not take.
    pub(crate) fn flush(&mut self) -> Result<(), HostError> {
        for ((counter, label), count) in &mut self.counters {
            if count.pending == 0 {
                continue;
            }
            let id = match count.id {
                Some(id) => id,
                None => {
                    let (name, tag) = counter.name();
                    let tags = [("pool", self.pool.as_str()), (tag, label)];
                    let name = self.names.with_tags(name, &tags);
                    *count
                        .id
                        .insert(host::define_metric(MetricKind::Counter, &name)?)
                }
            };
            if let Err(error) = host::increment_metric(id, count.pending) {
                // The number may be the fault: ask for it again next time.
                count.id = None;
                return Err(error);
            }
            count.pending = 0;
        }
        Ok(())
    }

    /// Sets a gauge at once. A failure is only counted: the operator misses a number, but the sync
    /// goes on.
    pub(crate) fn set(&mut self, gauge: Gauge, value: u64) {
        if let Err(error) = self.try_set(gauge, value) {
            // The number may be the fault: ask for it again next time.
            self.gauges.remove(&gauge);
            self.count(error);
        }
    }

    fn try_set(&mut self, gauge: Gauge, value: u64) -> Result<(), HostError> {
        let id = match self.gauges.get(&gauge) {
            Some(id) => *id,
            None => {
                let tags = [("pool", self.pool.as_str())];
                let name = self.names.with_tags(gauge.name(), &tags);
                let id = host::define_metric(MetricKind::Gauge, &name)?;
                self.gauges.insert(gauge, id);
                id
            }
        };
        host::record_metric(id, value)
    }
}
