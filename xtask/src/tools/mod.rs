//! Tools from outside: found on this machine or fetched into the user's cache folder.

pub(crate) mod bindgen;
pub(crate) mod envoy;
pub(crate) mod inference_perf;
pub(crate) mod node;
pub(crate) mod python;
pub(crate) mod wasm_target;

use anyhow::Result;

use crate::run;

/// Obtains every tool and prints where it is.
pub(crate) fn list() -> Result<()> {
    let wasm = wasm_target::obtain()?;
    let envoy = envoy::obtain()?;
    let releases = envoy::releases()?;
    let node = node::obtain()?;
    let runner = bindgen::obtain()?;
    let python = python::venv()?;
    println!("{:<24} {}", "wasm32 toolchain", wasm.describe());
    println!(
        "{:<24} {} ({})",
        "envoy",
        envoy.path.display(),
        envoy.version
    );
    for (name, envoy) in ["envoy, oldest tested", "envoy, newest tested"]
        .into_iter()
        .zip(releases)
    {
        println!("{name:<24} {} ({})", envoy.path.display(), envoy.version);
    }
    println!("{:<24} {}", "node", node.display());
    println!("{:<24} {}", "wasm-bindgen-test-runner", runner.display());
    println!("{:<24} {}", "python (client tests)", python.display());
    Ok(())
}

/// Whether this process is root, where Debian packages may be installed.
fn is_root() -> bool {
    run::output(std::process::Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}
