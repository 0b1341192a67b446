//! What the documents name exists: tests, metrics, settings, files, types.
//!
//! A name that is renamed in the code stays in the documents, and a proof that is none reads like one. So each code span that is
//! spelt like a name is looked up, and each link. Names of others' programs stand in [`foreign`] with a reason.
//!
//! Left out is CHANGELOG.md: what it says of earlier versions has earlier names.

mod foreign;
mod markdown;
mod names;
mod near;
mod rust;
mod spelling;
mod tree;

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{project, run};
use tree::Tree;

/// Documents that speak of other versions.
const OF_OTHER_VERSIONS: [&str; 1] = ["CHANGELOG.md"];

pub(crate) fn check() -> Result<()> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let files = run::output(Command::new("git").args(list).current_dir(project::root()))?;
    let (mut tree, mut documents) = (Tree::default(), Vec::new());
    for file in files.lines() {
        let path = project::root().join(file);
        if !path.is_file() {
            continue; // deleted and not yet committed
        }
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {file}"))?;
        let text = String::from_utf8(bytes).ok();
        tree.add(file, text.as_deref());
        if let Some(text) = text.filter(|_| file.ends_with(".md")) {
            documents.push((file, text));
        }
    }
    documents.retain(|(file, _)| !OF_OTHER_VERSIONS.contains(file));
    let mut wrong = unused(&documents);
    for (file, text) in &documents {
        wrong.extend(problems(&tree, file, text));
    }
    if !wrong.is_empty() {
        bail!(
            "{}\na name of another program goes to xtask/src/lint/documents/foreign.rs",
            wrong.join("\n")
        );
    }
    Ok(())
}

/// What one document says and the tree does not have, as `file:line: what`.
fn problems(tree: &Tree, file: &str, text: &str) -> Vec<String> {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut found = Vec::new();
    for span in markdown::spans(text) {
        let wrong = names::problems(tree, folder, &span);
        let line = span.line;
        found.extend(wrong.iter().map(|what| format!("{file}:{line}: {what}")));
    }
    found
}

/// Foreign names that no document says any more.
fn unused(documents: &[(&str, String)]) -> Vec<String> {
    let said = |name: &str| documents.iter().any(|(_, text)| text.contains(name));
    let unused = foreign::NAMES.iter().filter(|(name, _)| !said(name));
    unused
        .map(|(name, _)| {
            format!("xtask/src/lint/documents/foreign.rs: no document says `{name}`: remove it")
        })
        .collect()
}

#[cfg(test)]
mod tests;
