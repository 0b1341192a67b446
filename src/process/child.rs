//! Runs any program as a child process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::spawner;

/// Time between SIGTERM and SIGKILL when a child's value is dropped.
const DROP_GRACE: Duration = Duration::from_secs(3);
/// Interval at which a dying child is checked.
const POLL: Duration = Duration::from_millis(5);

/// A running program whose output goes to a file. Ends when dropped, and when this process dies.
#[derive(Debug)]
pub struct Child {
    name: String,
    log: PathBuf,
    inner: std::process::Child,
}

impl Child {
    /// Starts `command`. Standard output and error go to the file `log`.
    ///
    /// - `name`: name for messages.
    /// - `command`: program, arguments, environment and working folder. Its standard streams are
    ///   replaced.
    /// - `log`: file that is created or emptied.
    ///
    /// # Errors
    /// The log cannot be written, or the program cannot be started.
    pub fn spawn(name: &str, command: &Command, log: &Path) -> Result<Self> {
        let file =
            File::create(log).with_context(|| format!("{name}: cannot write {}", log.display()))?;
        let copy = file
            .try_clone()
            .with_context(|| format!("{name}: cannot share {}", log.display()))?;
        let inner = spawner::spawn(command, [Stdio::from(file), Stdio::from(copy)]);
        let inner = inner.with_context(|| {
            format!(
                "{name}: cannot start {}",
                command.get_program().to_string_lossy()
            )
        })?;
        Ok(Self {
            name: name.to_owned(),
            log: log.to_owned(),
            inner,
        })
    }

    /// Returns the name for messages, as given to [`Child::spawn`].
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.inner.id()
    }

    /// Returns the path of the file with all output of the child.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Returns the last `lines` lines of the log; empty if the log is empty or cannot be read.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let all: Vec<_> = text.lines().collect();
        all.get(all.len().saturating_sub(lines)..)
            .unwrap_or_default()
            .join("\n")
    }

    /// Returns the exit status of a child that has ended, and `None` while the child runs.
    ///
    /// # Errors
    /// The operating system does not report the status.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.inner
            .try_wait()
            .with_context(|| format!("{}: cannot ask whether it runs", self.name))
    }

    /// Asks the child to end (SIGTERM), waits for at most `grace`, then kills it. Blocks meanwhile.
    ///
    /// # Errors
    /// The process cannot be waited for.
    pub fn terminate(&mut self, grace: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < grace {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
        self.kill()
    }

    /// Kills the child at once (SIGKILL), as a crash would, and waits until it is gone.
    ///
    /// # Errors
    /// The process cannot be waited for.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::KILL);
        self.inner
            .wait()
            .with_context(|| format!("{}: cannot wait for its end", self.name))
    }

    /// Sends a signal to a child that has not been waited for yet. Until then no other process can
    /// have its id.
    fn signal(&mut self, signal: Signal) {
        if let (Ok(None), Some(pid)) = (
            self.inner.try_wait(),
            i32::try_from(self.inner.id()).ok().and_then(Pid::from_raw),
        ) {
            // The child may end before the signal. That is fine: ending is the goal.
            let _gone = kill_process(pid, signal);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // An error cannot be reported here. At the latest the kernel kills the child with this
        // process.
        let _ended = self.terminate(DROP_GRACE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, dir: &tempfile::TempDir) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Child::spawn("script", &command, &dir.path().join("log")).unwrap()
    }

    fn wait_for(child: &Child, text: &str) {
        let start = Instant::now();
        while !child.log_tail(100).contains(text) {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "no {text:?} in {:?}",
                child.log_tail(100)
            );
            thread::sleep(POLL);
        }
    }

    #[test]
    fn a_child_that_ends_on_sigterm_ends_with_its_own_status() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = shell(
            "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.01; done",
            &dir,
        );
        wait_for(&child, "ready");
        let status = child.terminate(Duration::from_secs(20)).unwrap();
        assert_eq!(status.code(), Some(7));
        assert_eq!(child.log_tail(1), "bye");
    }

    #[test]
    fn a_child_that_ignores_sigterm_is_killed_after_the_grace() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = shell(
            "trap '' TERM; echo ready; while :; do sleep 0.01; done",
            &dir,
        );
        wait_for(&child, "ready");
        let status = child.terminate(Duration::from_millis(50)).unwrap();
        assert_eq!(status.code(), None);
    }

    #[test]
    fn a_dropped_child_is_gone_and_so_is_one_whose_starting_thread_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = thread::scope(|scope| {
            scope
                .spawn(|| shell("echo ready; exec sleep 600", &dir))
                .join()
                .unwrap()
        });
        wait_for(&child, "ready");
        thread::sleep(Duration::from_millis(50));
        assert_eq!(
            child.try_wait().unwrap(),
            None,
            "it outlives the thread that asked for it"
        );
        let process = PathBuf::from(format!("/proc/{}", child.id()));
        assert!(process.exists());
        drop(child);
        assert!(!process.exists());
    }

    #[test]
    fn a_program_that_is_not_there_is_named_in_the_error_or_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let started = Child::spawn(
            "ghost",
            &Command::new("/no/such/program"),
            &dir.path().join("log"),
        );
        let said = match started {
            Err(error) => format!("{error:#}"),
            Ok(mut child) => {
                assert!(!child.inner.wait().unwrap().success());
                child.log_tail(5)
            }
        };
        assert!(said.contains("/no/such/program"), "{said}");
    }
}
