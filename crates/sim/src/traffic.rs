//! The sessions of a run.

use trimtab_workload::Session;
use trimtab_workload::trace::Replay;

use crate::{Invalid, Scenario, Source, Traffic, capacity};

/// Returns the sessions in order of their start, at the scenario's load.
pub(crate) fn sessions(
    scenario: &Scenario,
    load: f64,
    seed: u64,
) -> Result<Box<dyn Iterator<Item = Session> + '_>, Invalid> {
    let rate = capacity::sessions_per_s(scenario, load);
    if !(rate > 0.0 && rate.is_finite()) {
        return Err(Invalid::Idle { load });
    }
    match &scenario.traffic.source {
        Source::Drawn(workload) => {
            let mut workload = workload.clone();
            workload.arrivals = workload.arrivals.at_rate(rate);
            Ok(Box::new(workload.stream(seed)?))
        }
        Source::Trace(trace, limits) => {
            let own_rate = trace.rows.len() as f64 / trace.span_s().max(1e-3);
            let replay = Replay {
                time_scale: own_rate / rate,
                limits: *limits,
            };
            Ok(Box::new(trace.sessions(seed, replay)))
        }
    }
}

/// Returns whether any request names an adapter.
pub(crate) fn has_adapters(traffic: &Traffic) -> bool {
    match &traffic.source {
        Source::Drawn(workload) => workload
            .mix
            .iter()
            .any(|component| component.shape.adapters.is_some()),
        Source::Trace(..) => false,
    }
}
