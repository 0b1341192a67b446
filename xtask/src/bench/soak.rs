//! `cargo xtask bench soak`: the soak tests of tests/envoy for longer than a test run has time for.

use anyhow::{Context as _, Result, bail};

use crate::{project, run, tools};

/// `args`: `--for 90s` or `--for 10m` (the default), and the beginning of what one of the tests is with: `one`, `tap` or `odd`.
pub(crate) fn soak(args: &[String]) -> Result<()> {
    let (mut seconds, mut only) = (600, "");
    let mut rest = args.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "--for" => seconds = duration(rest.next().context("--for: how long? 10m, 90s")?)?,
            name if !name.starts_with('-') => only = name,
            other => bail!("{other}: not known; write --for 10m"),
        }
    }
    let envoy = tools::envoy::obtain()?;
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
            run::run(
                command
                    .env("TRIMTAB_SOAK_S", seconds.to_string())
                    .env("TRIMTAB_FILTER", project::filter())
                    .env("TRIMTAB_ENVOY", envoy.path),
            )
        },
    )
}

/// `10m` or `90s`, in seconds.
fn duration(text: &str) -> Result<u64> {
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let number: u64 = number
        .parse()
        .with_context(|| format!("{text}: write 10m or 90s"))?;
    match unit {
        "s" => Ok(number),
        "m" => Ok(number * 60),
        _ => bail!("{text}: write 10m or 90s"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn minutes_and_seconds_are_read_and_other_words_refused() {
        assert_eq!(super::duration("10m").ok(), Some(600));
        assert_eq!(super::duration("90s").ok(), Some(90));
        for wrong in ["", "10", "m", "1h", "-1s"] {
            assert!(super::duration(wrong).is_err(), "{wrong}");
        }
    }
}
