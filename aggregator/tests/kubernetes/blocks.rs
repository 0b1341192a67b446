//! Blocks of commands in a page of docs, and the copy of the project in which they run.
//!
//! Blocks marked `sh` run as they are. Blocks marked `shell` need nodes or a registry: of these the
//! syntax is checked.

use std::path::Path;
use std::process::Command;

use crate::kubectl::Kubectl;

/// A block of commands.
pub(crate) struct Block {
    pub(crate) heading: String,
    /// Whether it runs as it is.
    pub(crate) runs: bool,
    pub(crate) text: String,
}

/// Returns the blocks of a page that run, or name kubectl.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let (mut heading, mut open) = (String::new(), None::<Block>);
    for line in page.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(kind), None) => {
                open = Some(Block {
                    heading: heading.clone(),
                    runs: kind == "sh",
                    text: String::new(),
                });
                assert!(["", "sh", "shell", "yaml"].contains(&kind), "{kind}");
            }
            (None, Some(block)) => block.text.extend([line, "\n"]),
            (None, None) => {
                if let Some(text) = line.strip_prefix("## ") {
                    text.clone_into(&mut heading);
                }
            }
        }
    }
    blocks.retain(|block| block.text.contains("kubectl") || block.runs);
    blocks
}

/// Runs a block in a folder, or checks its syntax.
pub(crate) fn bash(block: &Block, kubectl: &Kubectl, dir: &Path) {
    let mut command = Command::new("bash");
    kubectl.set_up(&mut command);
    let option = if block.runs { "-euxc" } else { "-nc" };
    let output = command
        .args([option, &block.text])
        .current_dir(dir)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{errors:.4000}", block.text);
    assert!(!errors.contains("Warning"), "{}\n{errors}", block.text);
}

/// Copies a folder, so that a test may change it.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
