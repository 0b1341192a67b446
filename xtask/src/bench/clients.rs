//! `cargo xtask bench clients`: runs two lanes under unmodified inference-perf. Becomes
//! `trimtab bench-clients`.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{record, sim};
use crate::{project, run, tools, wasm};

/// Builds and fetches what the benchmark needs, and becomes the benchmark. `args` are its
/// arguments. `--help` only needs the program.
pub(crate) fn clients(args: &[String]) -> Result<()> {
    let help = args.iter().any(|arg| arg == "--help" || arg == "-h");
    let mut command = Command::new(project::root().join("target/release/trimtab"));
    command.arg("bench-clients").args(args);
    if help {
        run::step("trimtab", "build the command line, optimised", sim::build)?;
        return Err(command.exec())
            .with_context(|| format!("cannot start `{}`", run::line(&command)));
    }
    // First what may be missing on this machine, because that fails quickly.
    let python = tools::inference_perf::obtain()?;
    let envoy = tools::envoy::obtain()?;
    // A shorter run does not compare with the records of whole ones.
    let folder = record::folder_for(args == ["--record"])?;
    wasm::build()?;
    run::step("trimtab", "build the command line, optimised", sim::build)?;
    command
        .current_dir(project::root())
        .env("TRIMTAB_CLIENTS_PYTHON", python)
        .env("TRIMTAB_FILTER", project::filter())
        .env("TRIMTAB_ENVOY_VERSION", &envoy.version)
        .env("TRIMTAB_ENVOY", envoy.path)
        .env("TRIMTAB_RECORD_DIR", folder);
    run::tell_commit(&mut command);
    // exec instead of spawn, so that Ctrl-C and the exit status belong to the benchmark alone.
    Err(command.exec()).with_context(|| format!("cannot start `{}`", run::line(&command)))
}
