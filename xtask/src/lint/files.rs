//! Checks that files stay short enough to read at once.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{project, run};

/// Most lines of a Rust file, tests included.
const LINES_MAX: usize = 400;

/// Checks every Rust file that git knows or would add.
pub(crate) fn check() -> Result<()> {
    let list = [
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "--",
        "*.rs",
    ];
    let files = run::output(Command::new("git").args(list).current_dir(project::root()))?;
    let mut long = Vec::new();
    for file in files.lines() {
        let path = project::root().join(file);
        if !path.is_file() {
            continue; // deleted and not yet committed
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {file}"))?;
        let lines = text.lines().count();
        if lines > LINES_MAX {
            long.push(format!("{file} ({lines} lines)"));
        }
    }
    if !long.is_empty() {
        bail!(
            "longer than {LINES_MAX} lines, would two files each tell one story? {}",
            long.join(", ")
        );
    }
    Ok(())
}
