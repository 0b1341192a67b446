//! Checks that files stay short enough to read at once, and their comments as narrow as the code.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{project, run};

/// Most lines of a Rust file, tests included.
const LINES_MAX: usize = 400;
/// Most characters of a line that is a comment. rustfmt keeps code within them and leaves comments
/// alone.
const COMMENT_MAX: usize = 100;

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
    let mut found = Vec::new();
    for file in files.lines() {
        let path = project::root().join(file);
        if !path.is_file() {
            continue; // deleted and not yet committed
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {file}"))?;
        found.extend(faults(&text).into_iter().map(|(line, fault)| match line {
            Some(line) => format!("{file}:{line}: {fault}"),
            None => format!("{file}: {fault}"),
        }));
    }
    if !found.is_empty() {
        bail!("{} fault(s)\n{}", found.len(), found.join("\n"));
    }
    Ok(())
}

/// What is wrong with a file, with the line's number where it is about one line.
fn faults(text: &str) -> Vec<(Option<usize>, String)> {
    let mut faults = Vec::new();
    let lines = text.lines().count();
    if lines > LINES_MAX {
        let fault = format!(
            "has {lines} lines, at most {LINES_MAX} are read at once; would two files each tell one story?"
        );
        faults.push((None, fault));
    }
    // A line of an example is code, which may hold a long string.
    let mut is_example = false;
    for (index, line) in text.lines().enumerate() {
        let Some(comment) = line.trim_start().strip_prefix("//") else {
            continue;
        };
        let comment = comment.trim_start_matches(['/', '!']);
        is_example ^= comment.trim_start().starts_with("```");
        let width = line.chars().count();
        if width > COMMENT_MAX && !is_example {
            let fault = format!("a comment of {width} characters, at most {COMMENT_MAX} fit");
            faults.push((Some(index + 1), fault));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_and_wide_comments_are_found_and_examples_and_code_left_alone() {
        let (wide, narrow) = ("x".repeat(97), "x".repeat(96));
        for (text, lines) in [
            (format!("//! {wide}\n"), vec![Some(1)]),
            (format!("//! {narrow}\n// é{narrow}\n"), vec![]),
            (format!("fn f() {{}}\n    // {wide}\n"), vec![Some(2)]),
            (
                format!("/// ```\n/// {wide}\n/// ```\n/// {wide}\n"),
                vec![Some(4)],
            ),
            (format!("let a = \"{wide}{wide}\"; // {wide}\n"), vec![]),
            ("\n".repeat(400), vec![]),
            ("\n".repeat(401), vec![None]),
        ] {
            let found: Vec<_> = faults(&text).into_iter().map(|(line, _)| line).collect();
            assert_eq!(found, lines, "{text}");
        }
    }
}
