//! Names of every metric that the filter can have, for tests and benches that read one by its name.
//!
//! A counter comes into being when it first counts. So a missing counter and a misspelt name look
//! the same: both read as 0, and a test that expects 0 could never fail. Therefore a name is
//! checked here before it is read.

use trimtab_loadtable::ErrorKind;
use trimtab_pick::Reason;

use crate::config::MetricNames;
use crate::facts::Ending;
use crate::metrics::{
    Counter, Event, ForgedHeaders, Gauge, Observed, ObservedWaits, Passed, ReportCalls, SyncErrors,
    Syncs, TableRefusals, Unmatched,
};
use crate::pair::messages::Fault;

/// Checks a whole name, as it stands after `wasmcustom.` in Envoy:
/// `trimtab_decisions_total.pool.chat.reason.load`, or
/// `pool=.=chat;.;reason=.=load;.;trimtab_decisions_total`.
///
/// # Errors
/// Says what is wrong with the name, and which names there are.
pub fn check(name: &str) -> Result<(), String> {
    let name = &plain(name);
    let (metric, rest) = name.split_once('.').unwrap_or((name, ""));
    let tags: Vec<&str> = rest.split('.').collect();
    if let Some(counter) = counter(metric) {
        let tag = counter.name().1;
        return match tags.as_slice() {
            ["pool", _, found, value] if *found == tag => value_of(counter, name, value),
            _ => Err(format!(
                "`{name}`: the tags of `{metric}` are `.pool.POOL.{tag}.VALUE`"
            )),
        };
    }
    check_metric(metric)?;
    match tags.as_slice() {
        ["pool", _] => Ok(()),
        _ => Err(format!("`{name}`: the tags of `{metric}` are `.pool.POOL`")),
    }
}

/// Returns a name of [`MetricNames::Istio`] as it is with [`MetricNames::Plain`]. Names of other
/// forms stay.
fn plain(name: &str) -> String {
    let mut parts: Vec<&str> = name.split(";.;").collect();
    let metric = parts.pop().unwrap_or_default();
    let tags: Option<Vec<_>> = parts.iter().map(|part| part.split_once("=.=")).collect();
    tags.map_or_else(
        || name.to_owned(),
        |tags| MetricNames::Plain.with_tags(metric, &tags),
    )
}

/// Checks a name without its tags: `trimtab_decisions_total`.
///
/// # Errors
/// There is no such metric. Lists those that there are.
pub fn check_metric(metric: &str) -> Result<(), String> {
    if metrics().any(|known| known == metric) {
        return Ok(());
    }
    let known: Vec<_> = metrics().collect();
    Err(format!(
        "the filter has no metric `{metric}`; it has {}",
        known.join(", ")
    ))
}

/// Returns all names without tags.
pub fn metrics() -> impl Iterator<Item = &'static str> {
    let counters = Counter::ALL.into_iter().map(|counter| counter.name().0);
    counters.chain(Gauge::ALL.into_iter().map(Gauge::name))
}

/// A metric of the filter, for documents.
#[derive(Debug, Clone)]
pub struct Metric {
    /// Its name without tags.
    pub name: &'static str,
    /// `counter` or `gauge`.
    pub kind: &'static str,
    /// What it tells.
    pub help: &'static str,
    /// Its tags but `pool`, which each has, with their values.
    pub tags: Vec<(&'static str, Vec<&'static str>)>,
}

/// Returns every metric, in the order of declaration.
pub fn all() -> impl Iterator<Item = Metric> {
    let counters = Counter::ALL.into_iter().map(|counter| Metric {
        name: counter.name().0,
        kind: "counter",
        help: counter.help(),
        tags: vec![(counter.name().1, values(counter))],
    });
    let gauges = Gauge::ALL.into_iter().map(|gauge| Metric {
        name: gauge.name(),
        kind: "gauge",
        help: gauge.help(),
        tags: Vec::new(),
    });
    counters.chain(gauges)
}

fn counter(metric: &str) -> Option<Counter> {
    Counter::ALL
        .into_iter()
        .find(|counter| counter.name().0 == metric)
}

fn value_of(counter: Counter, name: &str, value: &str) -> Result<(), String> {
    let values = values(counter);
    if values.contains(&value) {
        return Ok(());
    }
    let (tag, values) = (counter.name().1, values.join(", "));
    Err(format!(
        "`{name}`: `{tag}` is never `{value}`; it is one of {values}"
    ))
}

/// Returns the values that a counter's tag can have.
fn values(counter: Counter) -> Vec<&'static str> {
    match counter {
        Counter::Decisions => labels(&Reason::ALL),
        Counter::ForgedHeaders => labels(ForgedHeaders::ALL),
        Counter::Bodies => labels(&Ending::ALL),
        Counter::Syncs => labels(Syncs::ALL),
        Counter::ReportCalls => labels(ReportCalls::ALL),
        Counter::SyncErrors => labels(SyncErrors::ALL),
        Counter::TableRefusals => labels(TableRefusals::ALL),
        Counter::SetupErrors => labels(&Fault::ALL),
        Counter::Unmatched => labels(Unmatched::ALL),
        Counter::Passed => labels(Passed::ALL),
        Counter::Observed => labels(Observed::ALL),
        Counter::ObservedWaits => labels(ObservedWaits::ALL),
        Counter::Ejections => labels(&ErrorKind::ALL),
        Counter::HostErrors => HOSTCALLS.to_vec(),
    }
}

fn labels<E: Event>(all: &[E]) -> Vec<&'static str> {
    all.iter().map(|event| event.label()).collect()
}

/// The hostcalls that the filter makes and whose failures it counts.
const HOSTCALLS: [&str; 20] = [
    "proxy_continue_stream",
    "proxy_define_metric",
    "proxy_dequeue_shared_queue",
    "proxy_enqueue_shared_queue",
    "proxy_get_buffer_bytes",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_value",
    "proxy_get_property",
    "proxy_get_shared_data",
    "proxy_http_call",
    "proxy_increment_metric",
    "proxy_record_metric",
    "proxy_register_shared_queue",
    "proxy_remove_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_set_effective_context",
    "proxy_set_property",
    "proxy_set_shared_data",
    "proxy_set_tick_period_milliseconds",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_known_with_its_own_tag_and_values_and_with_no_other() {
        for counter in Counter::ALL {
            let (metric, tag) = counter.name();
            for value in values(counter) {
                for form in [MetricNames::Plain, MetricNames::Istio] {
                    let name = form.with_tags(metric, &[("pool", "chat"), (tag, value)]);
                    assert_eq!(check(&name), Ok(()), "{name}");
                }
            }
            for wrong in [
                metric.to_owned(),
                format!("{metric}.pool.chat"),
                format!("{metric}.pool.chat.{tag}.never"),
                format!("{metric}.pool.chat.tag.{}", values(counter)[0]),
                format!("{metric}s.pool.chat.{tag}.{}", values(counter)[0]),
                format!("pool=.=chat;.;{tag}=.=never;.;{metric}"),
                format!("pool=chat;.;{tag}=.={};.;{metric}", values(counter)[0]),
                format!("{tag}=.={};.;pool=.=chat;.;{metric}", values(counter)[0]),
            ] {
                assert!(check(&wrong).is_err(), "{wrong}");
            }
        }
        for gauge in Gauge::ALL {
            assert_eq!(check(&format!("{}.pool.chat", gauge.name())), Ok(()));
            assert_eq!(check(&format!("pool=.=chat;.;{}", gauge.name())), Ok(()));
            assert!(check(gauge.name()).is_err());
            assert!(check(&format!("{}.pool.chat.kind.x", gauge.name())).is_err());
        }
    }

    #[test]
    fn a_name_that_was_renamed_is_refused_with_those_that_there_are() {
        let error = check("trimtab_bodies_not_json_total.pool.chat.kind.json").unwrap_err();
        assert!(error.contains("trimtab_bodies_total"), "{error}");
        let error = check("trimtab_bodies_total.pool.chat.kind.json").unwrap_err();
        assert!(error.contains("not_json"), "{error}");
        assert!(check_metric("trimtab_bodies_not_json").is_err());
        assert_eq!(check_metric("trimtab_bodies_total"), Ok(()));
    }

    #[test]
    fn every_hostcall_of_the_host_module_is_listed() {
        let host = include_str!("host.rs");
        let mut called: Vec<&str> = host
            .split('"')
            .filter(|word| word.starts_with("proxy_") && !word.contains(' '))
            .collect();
        called.sort_unstable();
        called.dedup();
        for call in &called {
            assert!(HOSTCALLS.contains(call), "{call}");
        }
        assert!(called.len() >= 15, "{called:?}");
    }
}
