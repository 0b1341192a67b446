//! The files of the project, and the names that its code defines and reads.

use std::collections::{BTreeMap, BTreeSet};

use super::rust::{self, Names};

/// The project, read once.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Every file that git knows or would add, and their folders.
    pub(super) paths: BTreeSet<String>,
    /// Rust files, with their names.
    pub(super) rust: BTreeMap<String, Names>,
    /// Words of code and configuration, outside of comments in Rust.
    pub(super) words: BTreeSet<String>,
    /// Metrics, marks and exports that begin with `trimtab_`.
    pub(super) metrics: BTreeSet<String>,
    /// Fields of configurations.
    pub(super) settings: BTreeSet<String>,
}

/// Files whose words prove nothing: records of earlier code, and this lint's own samples.
const NO_PROOF: [&str; 3] = ["benches/record/", "xtask/src/lint/documents", "Cargo.lock"];
/// Folders in which metrics, marks and exports get their names. `SAMPLES` is a file there with
/// wrong names for tests.
const OWN: [&str; 2] = ["filter/src/", "src/"];
const SAMPLES: &str = "filter/src/names.rs";
/// The document that is generated from the metrics of both programs, with the metrics' names in its
/// first column.
const METRICS: &str = "docs/metrics.md";

impl Tree {
    /// Adds a file. `text` is `None` if the file is no text.
    pub(super) fn add(&mut self, path: &str, text: Option<&str>) {
        for (end, _) in path.match_indices('/') {
            self.paths.insert(path[..end].to_owned());
        }
        self.paths.insert(path.to_owned());
        if path == METRICS {
            self.metrics.extend(text.map(families).unwrap_or_default());
        }
        let Some(text) = text.filter(|_| is_proof(path) && !path.ends_with(".md")) else {
            return;
        };
        if !path.ends_with(".rs") {
            let words = rust::words(text).chain(rust::headers(text));
            self.words.extend(words.map(str::to_owned));
            return;
        }
        let names = rust::names(text);
        self.words.extend(names.words.iter().cloned());
        if text.contains("trimtab_settings") {
            let fields = names.literals.iter().filter(|literal| is_name(literal));
            self.settings.extend(fields.cloned());
        }
        if OWN.iter().any(|start| path.starts_with(start)) && path != SAMPLES {
            let said = names
                .literals
                .iter()
                .flat_map(|literal| rust::words(literal));
            let own = said.chain(names.items.iter().map(String::as_str));
            let own = own.filter(|name| name.starts_with("trimtab_") && !name.ends_with('_'));
            self.metrics.extend(own.map(str::to_owned));
        }
        self.rust.insert(path.to_owned(), names);
    }

    /// Returns whether there is a test of this name below the folder. `""` means anywhere.
    pub(super) fn has_test(&self, folder: &str, name: &str) -> bool {
        self.below(folder).any(|file| file.tests.contains(name))
    }

    pub(super) fn has_item(&self, name: &str) -> bool {
        self.below("").any(|file| file.items.contains(name))
    }

    /// Returns the names of all tests below a folder.
    pub(super) fn tests(&self, folder: &str) -> impl Iterator<Item = &str> {
        self.below(folder)
            .flat_map(|file| file.tests.iter().map(String::as_str))
    }

    /// Returns the names of all items.
    pub(super) fn items(&self) -> impl Iterator<Item = &str> {
        self.below("")
            .flat_map(|file| file.items.iter().map(String::as_str))
    }

    fn below(&self, folder: &str) -> impl Iterator<Item = &Names> {
        self.rust
            .iter()
            .filter(move |(path, _)| path.starts_with(folder))
            .map(|(_, names)| names)
    }

    /// Returns whether `owner`, a type or a module, has an item of this name. A type may also have
    /// a field of this name.
    pub(super) fn owns(&self, owner: &str, name: &str) -> bool {
        self.rust.iter().any(|(path, names)| {
            let is_item = names.items.contains(name);
            (names.homes.contains(owner) && (is_item || names.words.contains(name)))
                || (is_item && is_module(path, owner))
        })
    }

    /// Returns whether there is a file or folder of this name: from the root, from `folder`, or by
    /// its last parts alone. A string literal of this name is enough too, because a program may
    /// write the file.
    pub(super) fn has_path(&self, folder: &str, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let tail = format!("/{path}");
        self.paths.contains(&joined(folder, path))
            || self.paths.contains(path)
            || self.paths.iter().any(|known| known.ends_with(&tail))
            || self.below("").any(|file| file.literals.contains(path))
    }
}

/// Returns whether the words of a file prove something about the code.
pub(super) fn is_proof(path: &str) -> bool {
    !NO_PROOF.iter().any(|start| path.starts_with(start))
}

/// Returns a path from the root. A document in `folder` writes it as `path`.
pub(super) fn joined(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Returns whether a file, or one of its folders, is the module of this name.
fn is_module(path: &str, name: &str) -> bool {
    let path = path.trim_end_matches(".rs");
    path.split('/').any(|part| part == name)
}

/// Returns whether a literal is a lower-case name, as fields have.
fn is_name(literal: &str) -> bool {
    !literal.is_empty()
        && literal
            .chars()
            .all(|char| char.is_ascii_lowercase() || char == '_')
}

/// Returns the names of the metrics in the generated document, including those of a histogram's
/// series.
fn families(document: &str) -> Vec<String> {
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.filter_map(|row| Some(row.split_once('`')?.0));
    let ends = ["_bucket", "_sum", "_count", ""];
    names
        .flat_map(|name| ends.map(|end| format!("{name}{end}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_those_of_the_generated_document_and_comments_prove_nothing() {
        let mut tree = Tree::default();
        let document =
            "| metric | type |\n|---|---|\n| `trimtab_aggregator_scrapes_total` | counter |\n";
        tree.add("docs/metrics.md", Some(document));
        let code = "// trimtab_gone_total\nlet a = \"trimtab_aggregator_{name}\";\n";
        tree.add("filter/src/metrics.rs", Some(code));
        assert!(tree.metrics.contains("trimtab_aggregator_scrapes_total"));
        assert!(!tree.metrics.contains("trimtab_gone_total"));
        assert!(!tree.metrics.contains("trimtab_aggregator_"));
    }

    #[test]
    fn paths_are_found_from_the_root_from_the_document_and_by_their_end() {
        let mut tree = Tree::default();
        tree.add("deploy/envoy/envoy.yaml", Some("a: b"));
        for path in [
            "deploy/envoy",
            "deploy/envoy/envoy.yaml",
            "envoy.yaml",
            "envoy/envoy.yaml",
        ] {
            assert!(tree.has_path("", path), "{path}");
        }
        assert!(tree.has_path("deploy/envoy", "../envoy/envoy.yaml"));
        assert!(!tree.has_path("", "oy.yaml") && !tree.has_path("", "deploy/istio"));
    }

    #[test]
    fn an_owner_is_a_type_of_the_file_or_its_module() {
        let mut tree = Tree::default();
        tree.add(
            "filter/src/table.rs",
            Some("impl Loaded {\n    fn accept() {}\n}\n"),
        );
        assert!(tree.owns("Loaded", "accept") && tree.owns("table", "accept"));
        assert!(tree.owns("filter", "accept") && !tree.owns("poll", "accept"));
    }
}
