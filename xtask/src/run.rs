//! Runs programs, and tells the user what runs.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::project;

/// Runs one step of a command. Prints what and why before it, and how long it took after it.
pub(crate) fn step<T>(what: &str, why: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("==> {what}: {why}");
    let start = Instant::now();
    let result = body().with_context(|| format!("step failed: {what}"));
    let mark = if result.is_ok() { "ok" } else { "FAILED" };
    eprintln!(
        "<== {what}: {mark} in {:.1} s",
        start.elapsed().as_secs_f64()
    );
    result
}

/// Returns a command for the cargo that runs this program, in the project's root. Leaves out the
/// variables that the outer `cargo run` set for this package.
pub(crate) fn cargo(subcommand: &str) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    forget_outer_cargo(&mut command);
    command.arg(subcommand).current_dir(project::root());
    command
}

/// Removes the variables of the outer `cargo run`, which would be part of the inner build's
/// fingerprint.
pub(crate) fn forget_outer_cargo(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_")
            || text.starts_with("CARGO_MANIFEST_")
            || text == "CARGO_BIN_NAME"
            || text == "CARGO_CRATE_NAME"
        {
            command.env_remove(&name);
        }
    }
}

/// Runs a command to its end, with output to the terminal. An exit status other than 0 is an error
/// that shows the command line.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    check(command, status)
}

/// Runs a command to its end and returns its standard output. Prints the output only if the command
/// fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    if !output.status.success() {
        eprint!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    check(command, output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns the commit that is checked out, shortened. Returns `None` outside of a clone.
pub(crate) fn commit() -> Option<String> {
    let mut git = Command::new("git");
    git.args(["rev-parse", "--short=12", "HEAD"])
        .current_dir(project::root());
    output(&mut git).ok().map(|commit| commit.trim().to_owned())
}

/// Tells a command the commit that is checked out, for its records. Outside of a clone it is told
/// none.
pub(crate) fn tell_commit(command: &mut Command) {
    if let Some(commit) = commit() {
        command.env("TRIMTAB_COMMIT", commit);
    }
}

/// Runs a command for at most `limit`. Returns `false` if it failed, could not start, or was killed
/// at the limit.
pub(crate) fn succeeds_within(command: &mut Command, limit: Duration) -> bool {
    let Ok(mut child) = command.stdin(Stdio::null()).spawn() else {
        return false;
    };
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if start.elapsed() < limit => thread::sleep(Duration::from_millis(50)),
            _ => {
                // If the kill fails, the program has ended in the meantime. In both cases it is
                // reaped here.
                let _ended = child.kill();
                let _reaped = child.wait();
                return false;
            }
        }
    }
}

/// Reads `10m` or `90s` and returns seconds.
pub(crate) fn seconds(text: &str) -> Result<u64> {
    let seconds = match text.split_at_checked(text.len().saturating_sub(1)) {
        Some((number, "s")) => number.parse().ok(),
        Some((number, "m")) => number.parse().ok().and_then(|n: u64| n.checked_mul(60)),
        _ => None,
    };
    seconds.with_context(|| format!("{text}: write 10m or 90s"))
}

/// Creates `dir`: fills a sibling folder and renames it, so that an interrupted installation leaves
/// nothing that looks complete. Does nothing if `dir` exists. Two processes may do this at once:
/// the first to finish wins.
pub(crate) fn install_dir(dir: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let mut partial = dir.as_os_str().to_owned();
    partial.push(format!(".partial-{}", std::process::id()));
    let partial = Path::new(&partial);
    std::fs::create_dir_all(partial)
        .with_context(|| format!("cannot create {}", partial.display()))?;
    let filled = fill(partial).and_then(|()| match std::fs::rename(partial, dir) {
        Err(_) if dir.is_dir() => Ok(()),
        renamed => renamed
            .with_context(|| format!("cannot move {} to {}", partial.display(), dir.display())),
    });
    // After a rename the folder is gone already. After a failure its content is of no use.
    let _removed = std::fs::remove_dir_all(partial);
    filled
}

/// Returns a command as a user would type it, for messages.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

fn check(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("`{}` ended with {status}", line(command));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_installation_leaves_nothing_behind_and_the_next_one_succeeds() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("tool-1");
        let failed = install_dir(&dir, |partial| {
            std::fs::write(partial.join("half"), "x")?;
            bail!("connection lost")
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);

        install_dir(&dir, |partial| {
            Ok(std::fs::write(partial.join("whole"), "x")?)
        })
        .unwrap();
        assert!(dir.join("whole").is_file());
        install_dir(&dir, |_| bail!("is not asked again")).unwrap();
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn minutes_and_seconds_are_read_and_other_words_refused() {
        assert_eq!(seconds("10m").ok(), Some(600));
        assert_eq!(seconds("90s").ok(), Some(90));
        for wrong in ["", "10", "m", "1h", "-1s", "5µ", "99999999999999999999m"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_program_that_hangs_is_given_up_after_the_limit() {
        let start = Instant::now();
        assert!(!succeeds_within(
            Command::new("sleep").arg("60"),
            Duration::from_millis(100)
        ));
        assert!(start.elapsed() < Duration::from_secs(30));
        assert!(succeeds_within(
            &mut Command::new("true"),
            Duration::from_secs(30)
        ));
        assert!(!succeeds_within(
            &mut Command::new("false"),
            Duration::from_secs(30)
        ));
    }
}
