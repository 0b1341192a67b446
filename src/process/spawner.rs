//! Starts children on a thread that never ends.
//!
//! Linux can kill a child when its parent dies (`PR_SET_PDEATHSIG`). Linux takes the *thread* that
//! started the child as the parent. A child started on a runtime's worker or on a short-lived
//! blocking thread would die with that thread. So one thread that never ends starts all children.
//!
//! The child must ask for the signal itself. `setpriv` of util-linux does that and then becomes the
//! program. Asking for it in this process, between fork and exec, would need unsafe code.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

type Job = (Command, Sender<io::Result<Child>>);

/// Starts a command that does not outlive this process. Its standard input is empty; `stdout` and
/// `stderr` are its outputs.
pub(super) fn spawn(command: &Command, [stdout, stderr]: [Stdio; 2]) -> io::Result<Child> {
    static JOBS: OnceLock<Sender<Job>> = OnceLock::new();
    let gone = || io::Error::other("the thread that starts children has ended");
    let jobs = match JOBS.get() {
        Some(jobs) => jobs,
        None => {
            let jobs = start_thread()?;
            JOBS.get_or_init(|| jobs)
        }
    };
    let (reply, answer) = channel();
    let mut command = tied_to_us(command);
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    jobs.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

fn start_thread() -> io::Result<Sender<Job>> {
    let (jobs, queue): (Sender<Job>, Receiver<Job>) = channel();
    thread::Builder::new()
        .name("spawner".to_owned())
        .spawn(move || {
            while let Ok((mut command, reply)) = queue.recv() {
                // The requester may be gone. Its child then has no owner and is ended here.
                if let Err(unheard) = reply.send(command.spawn())
                    && let Ok(mut child) = unheard.0
                {
                    let _ended = child.kill();
                    let _reaped = child.wait();
                }
            }
        })?;
    Ok(jobs)
}

/// Returns the same command behind `setpriv`, in a process group of its own. Ctrl-C in a terminal
/// then reaches this process alone, which ends its children in order. Without `setpriv` the command
/// stays in this process group and gets the terminal's signals. The kernel then does not kill it
/// with this process.
fn tied_to_us(command: &Command) -> Command {
    let mut tied = match setpriv() {
        Some(setpriv) => {
            let mut tied = Command::new(setpriv);
            tied.args(["--pdeathsig", "KILL", "--"])
                .arg(command.get_program())
                .process_group(0);
            tied
        }
        None => Command::new(command.get_program()),
    };
    tied.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => tied.env(name, value),
            None => tied.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        tied.current_dir(dir);
    }
    tied
}

fn setpriv() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        ["/usr/bin/setpriv", "/bin/setpriv"]
            .map(PathBuf::from)
            .into_iter()
            .find(|path| path.is_file())
    });
    found.as_deref()
}
