//! The sections of documents that links and comments cite, as `docs/wire.md#sync`.

use std::collections::{BTreeMap, BTreeSet};

use super::near::nearest;
use super::tree::joined;

/// Folder of the documents that comments in the code cite.
const CITED: &str = "docs/";
const ENDING: &str = ".md";

/// The anchors of the headings of all documents.
#[derive(Debug, Default)]
pub(super) struct Sections(BTreeMap<String, BTreeSet<String>>);

impl Sections {
    /// Adds a document.
    pub(super) fn add(&mut self, file: &str, text: &str) {
        let (mut found, mut is_fenced) = (BTreeSet::new(), false);
        for line in text.lines() {
            is_fenced ^= line.starts_with("```");
            let title = line.trim_start_matches('#').strip_prefix(' ');
            let Some(title) = title.filter(|_| line.starts_with('#') && !is_fenced) else {
                continue;
            };
            let first = anchor(title);
            let others = (1..).map(|nth| format!("{first}-{nth}"));
            let mut free = std::iter::once(first.clone()).chain(others);
            found.extend(free.find(|anchor| !found.contains(anchor)));
        }
        self.0.insert(file.to_owned(), found);
    }

    /// Returns the problem of the section that a link in `file` leads to. Returns `None` if the
    /// section exists, or if the document does not: another check reports a missing document.
    pub(super) fn link_problem(&self, file: &str, target: &str) -> Option<String> {
        let (path, anchor) = target.split_once('#')?;
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        match path {
            "" => self.problem(file, anchor),
            _ => self.problem(&joined(folder, path), anchor),
        }
    }

    /// Returns the documents and sections that comments of a file cite and that do not exist, as
    /// `file:line: what`.
    pub(super) fn citation_problems(&self, file: &str, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            for (document, anchor) in citations(text) {
                let wrong = match (self.0.contains_key(document), anchor) {
                    (false, _) => Some(format!("there is no document `{document}`")),
                    (true, Some(anchor)) => self.problem(document, anchor),
                    (true, None) => None,
                };
                found.extend(wrong.map(|what| format!("{file}:{line}: {what}")));
            }
        }
        found
    }

    fn problem(&self, document: &str, anchor: &str) -> Option<String> {
        let sections = self.0.get(document)?;
        if sections.contains(anchor) {
            return None;
        }
        let near = nearest(anchor, sections.iter().map(String::as_str));
        let fix = near.map_or_else(String::new, |near| format!(": `#{near}`?"));
        Some(format!("{document} has no section `#{anchor}`{fix}"))
    }
}

/// Returns the anchor of a heading, as GitHub makes it.
fn anchor(title: &str) -> String {
    let kept = title
        .trim()
        .chars()
        .filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
    kept.map(|char| if char == ' ' { '-' } else { char })
        .flat_map(char::to_lowercase)
        .collect()
}

/// Returns the documents that a line cites, with their sections. A path within an address of
/// another site does not count.
fn citations(line: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let starts = line.match_indices(CITED).map(|(at, _)| at);
    let is_start = |at: &usize| {
        let before = line[..*at].chars().next_back();
        before.is_none_or(|char| !char.is_alphanumeric() && char != '/')
    };
    starts.filter(is_start).filter_map(|at| {
        let path_ends = |char: char| !char.is_alphanumeric() && !"/-_.".contains(char);
        let path = line[at..].split(path_ends).next()?;
        let (name, _) = path.rsplit_once(ENDING)?;
        let rest = &line[at + name.len() + ENDING.len()..];
        let anchor_ends = |char: char| !char.is_alphanumeric() && char != '-' && char != '_';
        let anchor = rest
            .strip_prefix('#')
            .and_then(|rest| rest.split(anchor_ends).next());
        Some((&line[at..at + name.len() + ENDING.len()], anchor))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections() -> Sections {
        let mut sections = Sections::default();
        let text = "# The rule\n## Miss and loss\ntext # no heading\n```\n# no heading either\n```\n## `Row`, the rest\n## Miss and loss\n#no\n";
        sections.add("docs/algorithm.md", text);
        sections.add("README.md", "# Top\n");
        sections
    }

    #[test]
    fn headings_become_anchors_as_on_github() {
        let sections = sections();
        let found = &sections.0["docs/algorithm.md"];
        let expected = [
            "miss-and-loss",
            "miss-and-loss-1",
            "row-the-rest",
            "the-rule",
        ];
        assert!(found.iter().eq(expected), "{found:?}");
    }

    #[test]
    fn a_link_to_a_section_that_there_is_none_of_is_told() {
        let sections = sections();
        let problem = |file, target| sections.link_problem(file, target);
        for good in [
            "#the-rule",
            "algorithm.md#miss-and-loss",
            "../README.md#top",
        ] {
            assert_eq!(problem("docs/algorithm.md", good), None, "{good}");
        }
        for other in ["gone.md#top", "algorithm.md", "https://example.org/#x"] {
            assert_eq!(problem("docs/algorithm.md", other), None, "{other}");
        }
        let wrong = problem("README.md", "docs/algorithm.md#miss-and-los").expect("wrong");
        assert!(wrong.contains("`#miss-and-loss`?"), "{wrong}");
        assert!(problem("docs/algorithm.md", "#rule").is_some());
    }

    #[test]
    fn comments_cite_sections_that_there_are() {
        let sections = sections();
        let found = |text| sections.citation_problems("a.rs", text);
        let good = "// (docs/algorithm.md#the-rule: 4 to 16), docs/algorithm.md.\n// https://a.org/docs/x.md docs/* docs/algorithm\n";
        assert_eq!(found(good), [""; 0]);
        let bad = "x\n// docs/algorithms.md, docs/algorithm.md#cost)\n";
        let found = found(bad);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().all(|what| what.starts_with("a.rs:2: ")));
        assert!(found[0].contains("docs/algorithms.md") && found[1].contains("#cost"));
    }
}
