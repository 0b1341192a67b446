//! `cargo xtask demo`: builds what the demo needs, and becomes the demo.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, anyhow};

use crate::{project, run, tools, wasm};

/// Builds the filter and the programs, and obtains Envoy at the same time. Then becomes
/// `trimtab demo`.
pub(crate) fn demo(args: &[String]) -> Result<()> {
    let without_envoy = args
        .iter()
        .any(|arg| arg == "--no-envoy" || arg == "--help" || arg == "-h");
    let envoy = thread::scope(|scope| {
        // The download needs the network and the build needs the cores. Together they take as long
        // as the longer one.
        let envoy = scope.spawn(|| {
            if without_envoy {
                Ok(None)
            } else {
                tools::envoy::obtain().map(Some)
            }
        });
        wasm::build()?;
        run::step("trimtab", "build the command line, optimised", || {
            run::run(run::cargo("build").args(["--release", "--package", "trimtab", "--bins"]))
        })?;
        envoy
            .join()
            .map_err(|_| anyhow!("the thread that obtains Envoy panicked"))?
    })?;
    let mut command = Command::new(project::root().join("target/release/trimtab"));
    command
        .arg("demo")
        .args(args)
        .env("TRIMTAB_FILTER", project::filter());
    if let Some(envoy) = envoy {
        command.env("TRIMTAB_ENVOY", envoy.path);
    }
    run::tell_commit(&mut command);
    // exec instead of spawn, so that Ctrl-C and the exit status belong to the demo alone.
    Err(command.exec()).with_context(|| format!("cannot start `{}`", run::line(&command)))
}
