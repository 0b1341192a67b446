//! A network of its own for a test program: no way out, and addresses of pods that lead back.

use std::path::Path;
use std::process::Command;

/// What runs before the program: loopback is switched on, and every address of pods is local. An
/// API server refuses loopback addresses as those of pods.
const SET_UP: &str = r#"ip link set lo up && ip route add local 10.1.0.0/16 dev lo && exec "$@""#;

/// Returns a command that runs this program in a network namespace, with those that it starts.
pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new("unshare");
    // Who is not root may have a namespace only as the root of a user namespace.
    command.args(["--map-root-user", "--net", "--", "sh", "-c", SET_UP, "sh"]);
    command.arg(program);
    command
}
