//! Helpers of the tests with Envoy.

pub(crate) mod aggregator;
pub(crate) mod backend;
pub(crate) mod client;
pub(crate) mod clients;
pub(crate) mod config;
pub(crate) mod dns;
pub(crate) mod fleet;
pub(crate) mod gzip;
pub(crate) mod load;
pub(crate) mod memory;
pub(crate) mod mesh;
pub(crate) mod overlay;
pub(crate) mod record;
pub(crate) mod release;
pub(crate) mod server;
pub(crate) mod stage;
pub(crate) mod wait;

pub(crate) use aggregator::{Answer, ScriptedAggregator, row, table};
pub(crate) use backend::Backend;
pub(crate) use client::{Response, chat, post};
pub(crate) use release::{RELEASES, Release};
pub(crate) use stage::{Stage, StageOptions};
pub(crate) use wait::eventually;

/// Returns the lines of Envoy's log at level warning or above.
pub(crate) fn severe(log: &str) -> Vec<&str> {
    let levels = ["[warning]", "[error]", "[critical]"];
    let is_severe = |line: &&str| levels.iter().any(|level| line.contains(level));
    log.lines().filter(is_severe).collect()
}

/// Whether a line of Envoy's log is one that a restart of the aggregator explains.
pub(crate) fn tells_of_restart(line: &str) -> bool {
    line.contains("sync failed") || line.contains("sync works again")
}

/// Fails the test if the filter counted a wrong setup, a refused hostcall or a refused table.
pub(crate) async fn no_faults(stage: &Stage) {
    for name in [
        "trimtab_setup_errors_total",
        "trimtab_host_errors_total",
        "trimtab_table_refusals_total",
    ] {
        let counted = stage.metrics(name).await;
        assert!(counted.values().all(|count| *count == 0), "{counted:?}");
    }
}
