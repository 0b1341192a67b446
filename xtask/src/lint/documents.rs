//! Checks that the names in the documents exist: tests, metrics, settings, files, types, sections.
//!
//! A rename in the code does not change the documents, and a proof that does not exist reads like
//! one that does. So the lint looks up each code span that is spelt like a name, each link, and
//! each section that a comment in the code cites. Names of other programs are in [`foreign`], each
//! with a reason. The documents that are read first must also stay short.
//!
//! CHANGELOG.md and the notes in benches/record are left out, because they name things of earlier
//! versions.

mod foreign;
mod markdown;
mod names;
mod near;
mod rust;
mod sections;
mod spelling;
mod tree;

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{project, run};
use sections::Sections;
use tree::Tree;

/// Documents about other versions: a file, or the folder that they are in.
const OF_OTHER_VERSIONS: [&str; 2] = ["CHANGELOG.md", "benches/record/"];

/// Documents that are read first, and the most bytes that each may have.
const MOST_BYTES: [(&str, usize); 2] = [("ARCHITECTURE.md", 14 * 1024), ("README.md", 6 * 1024)];

pub(crate) fn check() -> Result<()> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let files = run::output(Command::new("git").args(list).current_dir(project::root()))?;
    let (mut tree, mut sections) = (Tree::default(), Sections::default());
    let (mut documents, mut others) = (Vec::new(), Vec::new());
    for file in files.lines() {
        let path = project::root().join(file);
        if !path.is_file() {
            continue; // deleted and not yet committed
        }
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {file}"))?;
        let text = String::from_utf8(bytes).ok();
        tree.add(file, text.as_deref());
        match text {
            Some(text) if file.ends_with(".md") => {
                sections.add(file, &text);
                documents.push((file, text));
            }
            Some(text) if tree::is_proof(file) => others.push((file, text)),
            _ => {}
        }
    }
    let is_of_others = |file: &str| {
        OF_OTHER_VERSIONS
            .iter()
            .any(|start| file.starts_with(start))
    };
    documents.retain(|(file, _)| !is_of_others(file));
    let mut wrong = unused(&documents);
    for (file, text) in &documents {
        wrong.extend(too_long(file, text));
        wrong.extend(problems(&tree, &sections, file, text));
    }
    for (file, text) in &others {
        wrong.extend(sections.citation_problems(file, text));
    }
    if !wrong.is_empty() {
        bail!(
            "{}\na name of another program goes to xtask/src/lint/documents/foreign.rs",
            wrong.join("\n")
        );
    }
    Ok(())
}

/// Returns the names of one document that the tree does not have, as `file:line: what`.
fn problems(tree: &Tree, sections: &Sections, file: &str, text: &str) -> Vec<String> {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut found = Vec::new();
    for span in markdown::spans(text) {
        let mut wrong = names::problems(tree, folder, &span);
        if span.kind == markdown::Kind::Link {
            wrong.extend(sections.link_problem(file, &span.text));
        }
        let line = span.line;
        found.extend(wrong.iter().map(|what| format!("{file}:{line}: {what}")));
    }
    found
}

/// Returns a problem if a document that is read first is too long.
fn too_long(file: &str, text: &str) -> Option<String> {
    let (_, most) = MOST_BYTES.iter().find(|(short, _)| *short == file)?;
    let bytes = text.len();
    (bytes > *most).then(|| {
        format!(
            "{file}: {bytes} bytes, at most {most}: move a part to a document in docs and link it"
        )
    })
}

/// Returns foreign names that no document uses.
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
