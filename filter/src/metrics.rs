//! What the operator sees: counters and gauges of the proxy.
//!
//! Wasm metrics have no labels, so tags are spelled into the name as alternating segments,
//! `trimtab_decisions_total.pool.chat.reason.prefix`, and Envoy's `stats_tags` take them out again with
//! `\.pool\.([^.]+)` and `\.reason\.([^.]+)`. A dot in a pool's name becomes `_`.
//!
//! Counting costs no hostcall: counts are kept here and handed over on each tick.

use std::collections::BTreeMap;

use crate::host::{self, HostError, MetricKind};

/// A counter's name without its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Counter {
    /// Completion requests by what was decided and why.
    Decisions,
    /// Requests whose client sent a header that only this filter may set.
    ForgedHeaders,
    /// Bodies of completion requests that were read, by how that ended.
    Bodies,
    /// Answers of the aggregator by kind.
    Syncs,
    /// Calls with a report alone, by how they ended.
    ReportCalls,
    /// Sync calls that brought neither a table nor "no news".
    SyncErrors,
    /// Tables that were not taken.
    TableRefusals,
    /// Requests by what is wrong with the setup that they met.
    SetupErrors,
    /// Completion requests that belong to no pool.
    Unmatched,
    /// Requests that may be meant for a model, and whose paths are none that is placed.
    Passed,
    /// Requests that were observed only, by whether the proxy chose the same endpoint.
    Observed,
    /// Predicted waits of observed requests, summed up in milliseconds: of the filter's choice and of the proxy's.
    ObservedWaits,
    /// Endpoints that a worker left out for a while, by what it had seen last.
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

    /// Its name, and its tag; `names` lists the values that the tag can have.
    pub(crate) fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Decisions => ("trimtab_decisions_total", "reason"),
            Self::ForgedHeaders => ("trimtab_forged_headers_total", "header"),
            Self::Bodies => ("trimtab_bodies_total", "kind"),
            Self::Syncs => ("trimtab_syncs_total", "answer"),
            Self::ReportCalls => ("trimtab_news_total", "result"),
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

/// A gauge's name without its pool. Set by the worker that syncs, for the whole proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gauge {
    /// Milliseconds since the newest table arrived, and its age by then.
    TableAgeMs,
    /// Endpoints of the newest table.
    TableEndpoints,
    /// Placed requests that have not ended.
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
    pool: String,
    counters: BTreeMap<(Counter, &'static str), Count>,
    gauges: BTreeMap<Gauge, u32>,
}

impl Metrics {
    pub(crate) fn new(pool: &str) -> Self {
        Self {
            pool: pool.replace('.', "_"),
            counters: BTreeMap::new(),
            gauges: BTreeMap::new(),
        }
    }

    /// Counts one event. `label`: the tag's value, a constant of this program, so that the number of metrics is bounded.
    pub(crate) fn count(&mut self, counter: Counter, label: &'static str) {
        self.add(counter, label, 1);
    }

    /// As [`Self::count`], for several events or for an amount.
    pub(crate) fn add(&mut self, counter: Counter, label: &'static str, by: u64) {
        let count = self.counters.entry((counter, label)).or_default();
        count.pending = count.pending.saturating_add(by);
    }

    /// Counts a hostcall that failed.
    pub(crate) fn count_error(&mut self, error: HostError) {
        self.count(Counter::HostErrors, error.call);
    }

    /// Hands what was counted to the proxy. What it does not take is offered again with the next call.
    pub(crate) fn flush(&mut self) -> Result<(), HostError> {
        for ((counter, label), count) in &mut self.counters {
            if count.pending == 0 {
                continue;
            }
            let id = match count.id {
                Some(id) => id,
                None => {
                    let (name, tag) = counter.name();
                    let name = format!("{name}.pool.{}.{tag}.{label}", self.pool);
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

    /// Sets a gauge at once. A proxy that does not take it costs the operator a number, never the sync, so the failure is only counted.
    pub(crate) fn set(&mut self, gauge: Gauge, value: u64) {
        if let Err(error) = self.try_set(gauge, value) {
            // The number may be the fault: ask for it again next time.
            self.gauges.remove(&gauge);
            self.count_error(error);
        }
    }

    fn try_set(&mut self, gauge: Gauge, value: u64) -> Result<(), HostError> {
        let id = match self.gauges.get(&gauge) {
            Some(id) => *id,
            None => {
                let name = format!("{}.pool.{}", gauge.name(), self.pool);
                let id = host::define_metric(MetricKind::Gauge, &name)?;
                self.gauges.insert(gauge, id);
                id
            }
        };
        host::record_metric(id, value)
    }
}
