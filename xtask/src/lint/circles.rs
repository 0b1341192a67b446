//! Checks that files of a package do not know each other in a circle. Data then flows one way, and
//! a reader who follows it comes to an end.
//!
//! A file knows another if it names an item of it by `crate::` or `super::`. A file and those below
//! it count as one: what a child takes from its parent is no arrow. Tests do not count.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use syn::visit::{self, Visit};

use crate::project;

/// The folders of sources.
const ROOTS: [&str; 5] = ["src", "filter/src", "aggregator/src", "xtask/src", "crates"];

/// For each module the modules that it knows, by paths such as `sync::calls`.
type Graph = BTreeMap<String, BTreeSet<String>>;

pub(crate) fn check() -> Result<()> {
    let mut roots = Vec::new();
    for root in ROOTS.map(|root| project::root().join(root)) {
        if root.ends_with("crates") {
            for package in std::fs::read_dir(&root)? {
                roots.push(package?.path().join("src"));
            }
        } else {
            roots.push(root);
        }
    }
    let mut circles = Vec::new();
    for root in roots.iter().filter(|root| root.is_dir()) {
        let mut sources = BTreeMap::new();
        read(root, root, &mut sources)?;
        for circle in circles_of(&graph(&sources)?) {
            circles.push(format!("{}: {}", root.display(), circle.join(" -> ")));
        }
    }
    if !circles.is_empty() {
        bail!(
            "files know each other in a circle; move what ties them to a file of its own:\n{}",
            circles.join("\n")
        );
    }
    Ok(())
}

/// Reads the sources below `dir`, by the paths of their modules.
fn read(root: &Path, dir: &Path, sources: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path: PathBuf = entry?.path();
        let name = path.file_stem().unwrap_or_default();
        if name == "tests" || name == "golden" {
            continue;
        }
        if path.is_dir() {
            read(root, &path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            sources.insert(module(path.strip_prefix(root)?), text);
        }
    }
    Ok(())
}

/// Returns the path of a file's module: `sync/calls.rs` is `sync::calls`. The root of the package
/// has an empty path.
fn module(file: &Path) -> String {
    let path = file.with_extension("");
    let mut parts: Vec<String> = path
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    let is_parent = |last: &String| ["mod", "lib", "main"].contains(&last.as_str());
    if parts.last().is_some_and(is_parent) {
        parts.pop();
    }
    parts.join("::")
}

fn graph(sources: &BTreeMap<String, String>) -> Result<Graph> {
    let mut graph = Graph::new();
    for (module, text) in sources {
        let file =
            syn::parse_file(text).with_context(|| format!("cannot read the module {module}"))?;
        let mut names = Names {
            within: module
                .split("::")
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect(),
            found: Vec::new(),
        };
        names.visit_file(&file);
        let known = names.found.iter().filter_map(|path| owner(path, sources));
        let is_above = |other: &&str| {
            other.is_empty() || format!("{module}::").starts_with(&format!("{other}::"))
        };
        let known = known.filter(|other| !is_above(other)).map(str::to_owned);
        graph.insert(module.clone(), known.collect());
    }
    Ok(graph)
}

/// Returns the module that contains the item of this path.
fn owner<'s>(path: &[String], sources: &'s BTreeMap<String, String>) -> Option<&'s str> {
    let prefixes = (0..=path.len())
        .rev()
        .map(|count| path.get(..count).unwrap_or_default().join("::"));
    let mut known = prefixes.filter_map(|prefix| sources.get_key_value(&prefix));
    known.next().map(|(module, _)| module.as_str())
}

/// The paths that a file names, from the root of its package.
struct Names {
    within: Vec<String>,
    found: Vec<Vec<String>>,
}

impl Names {
    fn add(&mut self, path: &[String]) {
        let Some((first, mut rest)) = path.split_first() else {
            return;
        };
        let mut absolute = match first.as_str() {
            "crate" => Vec::new(),
            "super" => self.within.clone(),
            _ => return,
        };
        if first == "super" {
            absolute.pop();
            while let Some(("super", after)) = rest
                .split_first()
                .map(|(next, after)| (next.as_str(), after))
            {
                absolute.pop();
                rest = after;
            }
        }
        absolute.extend(rest.iter().cloned());
        self.found.push(absolute);
    }

    fn add_tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.add_tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.add(&with(&name.ident)),
            syn::UseTree::Rename(name) => self.add(&with(&name.ident)),
            syn::UseTree::Glob(_) => self.add(before),
            syn::UseTree::Group(group) => group
                .items
                .iter()
                .for_each(|tree| self.add_tree(before, tree)),
        }
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_test(&item.attrs) {
            self.add_tree(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string());
        self.add(&names.collect::<Vec<_>>());
        visit::visit_path(self, path);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if is_test(&item.attrs) {
            return;
        }
        self.within.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.within.pop();
    }

    /// `pub(in crate::..)` and `pub(super)` do not count.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

/// Returns whether there is a `#[cfg(test)]`, alone or with other conditions.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let list = attribute.meta.require_list();
        let cfg = list.ok().filter(|list| list.path.is_ident("cfg"));
        cfg.is_some_and(|list| list.tokens.to_string().contains("test"))
    })
}

/// Returns circles: for each module that is in one, and in none found before, a shortest circle
/// through it.
fn circles_of(graph: &Graph) -> Vec<Vec<&str>> {
    let mut told = BTreeSet::new();
    let mut circles = Vec::new();
    for module in graph.keys() {
        if told.contains(module.as_str()) {
            continue;
        }
        if let Some(circle) = circle_through(graph, module) {
            told.extend(circle.iter().copied());
            circles.push(circle);
        }
    }
    circles
}

fn circle_through<'g>(graph: &'g Graph, start: &'g str) -> Option<Vec<&'g str>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(module) = open.pop_front() {
        for next in graph.get(module).into_iter().flatten() {
            if next == start {
                let mut circle = vec![start, module];
                while let Some(before) = circle.last().and_then(|last| came_from.get(last)) {
                    circle.push(before);
                }
                circle.dedup();
                circle.reverse();
                return Some(circle);
            }
            if !came_from.contains_key(next.as_str()) {
                came_from.insert(next, module);
                open.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        let sources = files
            .iter()
            .map(|(file, text)| (module(Path::new(file)), (*text).to_owned()));
        let graph = graph(&sources.collect()).unwrap();
        circles_of(&graph)
            .into_iter()
            .map(|circle| circle.join(" -> "))
            .collect()
    }

    #[test]
    fn files_that_know_each_other_are_told_whichever_way_they_name_each_other() {
        let a_b =
            |a: &str, b: &str| circles(&[("lib.rs", "mod a; mod b;"), ("a.rs", a), ("b.rs", b)]);
        assert_eq!(
            a_b("use crate::b::X;", "use super::a::{self, Y};"),
            ["a -> b -> a"]
        );
        assert_eq!(
            a_b("fn f() { crate::b::f(); }", "fn f(_: super::a::T) {}"),
            ["a -> b -> a"]
        );
        assert!(a_b("use crate::b::X;", "use crate::c::a;").is_empty());
        assert!(
            a_b(
                "use crate::b::X;",
                "#[cfg(test)] mod tests { use crate::a::Y; }"
            )
            .is_empty()
        );
        assert!(a_b("use crate::b::X;", "#[cfg(test)] use crate::a::Y;").is_empty());
    }

    #[test]
    fn a_child_may_know_its_parent_and_a_longer_way_round_is_a_circle_too() {
        let files = [
            ("lib.rs", "mod a;"),
            ("a.rs", "mod b; use b::X;"),
            ("a/b.rs", "use super::Y;"),
        ];
        assert!(circles(&files).is_empty());
        let files = [
            ("a.rs", "use crate::b;"),
            ("b/mod.rs", "use crate::c::d::X;"),
            ("c/d.rs", "use crate::a::Y;"),
        ];
        assert_eq!(circles(&files), ["a -> b -> c::d -> a"]);
    }
}
