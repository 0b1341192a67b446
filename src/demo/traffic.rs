//! Builds the sessions of a run: from the demo's own mix or from a trace.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use trimtab_workload::Session;
use trimtab_workload::trace::{Replay, Trace};

use super::scenario;

/// Largest trace file that is read.
const TRACE_MAX_BYTES: u64 = 1 << 30;

/// The traffic of a run and its description.
pub(crate) struct Traffic {
    pub(crate) sessions: Box<dyn Iterator<Item = Session> + Send>,
    pub(crate) requests_per_s: f64,
    /// Name for the report.
    pub(crate) name: String,
    /// Description for the reader, printed before the run.
    pub(crate) description: String,
}

impl std::fmt::Debug for Traffic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Traffic")
            .field("name", &self.name)
            .field("requests_per_s", &self.requests_per_s)
            .finish_non_exhaustive()
    }
}

/// Returns the demo's own mix at `load`.
pub(crate) fn mixed(load: f64, seed: u64) -> Result<Traffic> {
    let plan = scenario::plan(load)?;
    let requests_per_s = load * plan.capacity_rps;
    let demand = plan.demand;
    let description = format!(
        "{requests_per_s:.1} requests/s to each lane, {:.0} % of the {:.1} that its fleet can do; mean prompt {:.0} tokens (at least {:.0} new), mean answer {:.0}",
        load * 100.0,
        plan.capacity_rps,
        demand.prompt_tokens,
        demand.uncached_tokens,
        demand.output_tokens
    );
    Ok(Traffic {
        sessions: Box::new(plan.workload.stream(seed)?),
        requests_per_s,
        name: "mixed work".to_owned(),
        description,
    })
}

/// Returns a trace whose times are stretched or shortened so that it meets `load`.
pub(crate) fn traced(file: &Path, load: f64, seed: u64) -> Result<Traffic> {
    let trace = read(file)?;
    let limits = scenario::limits();
    let sessions = |time_scale| {
        trace
            .sessions(seed, Replay { time_scale, limits })
            .collect::<Vec<_>>()
    };
    let recorded_per_s = trace.rows.len() as f64 / trace.span_s();
    ensure!(
        recorded_per_s.is_finite(),
        "{}: all requests come at the same time; a trace needs a span",
        file.display()
    );
    let demand = scenario::demand_of(sessions(1.0));
    let requests_per_s = load * scenario::fleet_capacity_rps(&demand);
    let time_scale = recorded_per_s / requests_per_s;
    let shortened = trace
        .rows
        .iter()
        .filter(|row| row.prompt_tokens.saturating_add(row.output_tokens) > limits.context_tokens)
        .count();
    let description = format!(
        "{} requests of a {} trace at {requests_per_s:.2}/s to each lane ({:.2} times as fast as recorded); {shortened} prompts shortened to {} tokens",
        trace.rows.len(),
        trace.format,
        1.0 / time_scale,
        limits.context_tokens
    );
    let name = format!("{} trace", trace.format);
    Ok(Traffic {
        sessions: Box::new(sessions(time_scale).into_iter()),
        requests_per_s,
        name,
        description,
    })
}

fn read(file: &Path) -> Result<Trace> {
    let opened = std::fs::File::open(file)
        .with_context(|| format!("cannot read the trace {}", file.display()))?;
    let mut bytes = Vec::new();
    opened
        .take(TRACE_MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read the trace {}", file.display()))?;
    ensure!(
        bytes.len() as u64 <= TRACE_MAX_BYTES,
        "{}: is larger than 1 GiB; split it",
        file.display()
    );
    Trace::parse(&bytes).with_context(|| file.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_stretched_to_the_load() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("trace.jsonl");
        let rows = (0..400).map(|n| {
            format!(
                "{{\"timestamp\": {}, \"input_length\": 2000, \"output_length\": 50}}\n",
                n * 100
            )
        });
        std::fs::write(&file, rows.collect::<String>()).unwrap();
        let [half, whole] = [0.4, 0.8].map(|load| traced(&file, load, 1).unwrap());
        assert!((whole.requests_per_s / half.requests_per_s - 2.0).abs() < 1e-9);
        let last = whole.sessions.last().unwrap().start_s();
        assert!(
            (400.0 / last / whole.requests_per_s - 1.0).abs() < 0.01,
            "{last}"
        );
    }

    #[test]
    fn a_trace_that_is_not_there_is_named() {
        let error = traced(Path::new("/no/such/trace"), 0.8, 1).unwrap_err();
        assert!(format!("{error:#}").contains("/no/such/trace"));
    }

    #[test]
    fn the_mix_meets_its_own_rate() {
        let traffic = mixed(0.8, 1).unwrap();
        let expected = traffic.requests_per_s;
        let (mut requests, mut until_s) = (0_usize, 0.0);
        for session in traffic.sessions.take(5_000) {
            until_s = session.start_s();
            requests += session.count();
        }
        assert!((requests as f64 / until_s / expected - 1.0).abs() < 0.05);
    }
}
