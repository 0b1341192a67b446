//! `cargo xtask bench soak`: runs the soak tests of tests/envoy for longer than a test run has
//! time.

use anyhow::{Context as _, Result, bail};

use super::record;
use crate::{project, run, tools};

/// Shorter runs are not recorded: memory that grows slowly does not show in them.
const LEAST_RECORDED_S: u64 = 600;

/// Runs the soak tests. `args` may hold `--for 90s` or `--for 10m` (the default), and a word that
/// selects tests: `one`, `tap` or `odd`.
pub(crate) fn soak(args: &[String]) -> Result<()> {
    let (mut seconds, mut only) = (600, "");
    let mut rest = args.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "--for" => seconds = run::seconds(rest.next().context("--for: how long? 10m, 90s")?)?,
            name if !name.starts_with('-') => only = name,
            other => bail!("{other}: not known; write --for 10m"),
        }
    }
    let envoy = tools::envoy::obtain()?;
    let folder = record::folder_for(seconds >= LEAST_RECORDED_S)?;
    run::step(
        "soak",
        "every kind of request, each form after the other, then odd clients and servers",
        || {
            let mut command = run::cargo("test");
            command.args(["--release", "--test", "envoy", "--", "--nocapture"]);
            command.args([
                "--test-threads",
                "1",
                &format!("nothing_fails_grows_or_stays_with_{only}"),
            ]);
            run::tell_commit(&mut command);
            run::run(
                command
                    .env("TRIMTAB_RECORD_DIR", folder)
                    .env("TRIMTAB_ENVOY_VERSION", &envoy.version)
                    .env("TRIMTAB_SOAK_S", seconds.to_string())
                    .env("TRIMTAB_FILTER", project::filter())
                    .env("TRIMTAB_ENVOY", envoy.path),
            )
        },
    )
}
