//! Recognises names by their spelling: metrics, paths, identifiers.

use super::rust::words;

/// The first folders of the project's paths. `ENDINGS` has the endings of its files.
const FOLDERS: [&str; 11] = [
    ".ci",
    "aggregator",
    "benches",
    "crates",
    "deploy",
    "docs",
    "filter",
    "fuzz",
    "src",
    "tests",
    "xtask",
];
const ENDINGS: [&str; 9] = [
    "json", "lua", "md", "prom", "proto", "rs", "svg", "toml", "yaml",
];

/// Returns the fields that a span names: the span itself, or the keys of its JSON.
pub(super) fn fields(text: &str) -> impl Iterator<Item = &str> {
    keys(text).chain(is_snake(text).then_some(text))
}

/// Returns the keys of JSON: texts in quotes before a colon.
pub(super) fn keys(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('"').skip(1).step_by(2);
    let after = text.split('"').skip(2).step_by(2);
    let keys = quoted
        .zip(after)
        .filter(|(key, after)| is_snake(key) && after.trim_start().starts_with(':'));
    keys.map(|(key, _)| key)
}

/// Returns the name of a metric without its tags, its labels and Envoy's prefix.
pub(super) fn metric_in(token: &str) -> Option<&str> {
    let token = token.strip_prefix("wasmcustom.").unwrap_or(token);
    let is_short = token.starts_with("..") && token.len() > 2 && !token.contains('/');
    if !token.starts_with("trimtab_") && !is_short {
        return None;
    }
    let labels = token.find("{").filter(|at| token[*at..].contains('='));
    let token = &token[..labels.unwrap_or(token.len())];
    let from = if is_short { 2 } else { 0 };
    let tags = token[from..].find('.').map(|at| at + from);
    Some(&token[..tags.unwrap_or(token.len())])
}

/// Returns `a{b,c}d` as `abd` and `acd`.
pub(super) fn braces(text: &str) -> impl Iterator<Item = String> {
    let parts = text.split_once('{').and_then(|(start, rest)| {
        let (list, end) = rest.split_once('}')?;
        Some((start, list, end))
    });
    let (start, list, end) = parts.unwrap_or((text, "", ""));
    list.split(',').map(move |part| [start, part, end].concat())
}

/// Returns whether a token is a path of the project. Addresses, placeholders and paths of built or
/// outside files are not.
pub(super) fn is_path(token: &str) -> bool {
    if token.starts_with(['/', '~', '$', '-', '<']) || token.contains([':', '*', '[', '=']) {
        return false;
    }
    let first = token.split('/').next().unwrap_or_default();
    let ending = token
        .rsplit_once('.')
        .map(|(name, ending)| (name.is_empty(), ending));
    (token.contains('/') && FOLDERS.contains(&first))
        || ending.is_some_and(|(is_hidden, ending)| !is_hidden && ENDINGS.contains(&ending))
}

pub(super) fn is_snake(token: &str) -> bool {
    let is_name = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_';
    token.starts_with(|char: char| char.is_ascii_lowercase()) && token.chars().all(is_name)
}

pub(super) fn is_constant(token: &str) -> bool {
    let is_name = |char: char| char.is_ascii_uppercase() || char.is_ascii_digit() || char == '_';
    token.starts_with(|char: char| char.is_ascii_uppercase())
        && token.contains('_')
        && token.chars().all(is_name)
}

pub(super) fn is_camel(token: &str) -> bool {
    token.starts_with(|char: char| char.is_ascii_uppercase())
        && token.chars().all(|char| char.is_ascii_alphanumeric())
        && token.contains(|char: char| char.is_ascii_lowercase())
}

/// Returns the last word of a text, if the text ends with it. The text ends right before a span.
pub(super) fn last_word(before: &str) -> &str {
    let before = before.trim_end();
    words(before)
        .last()
        .filter(|word| before.ends_with(word))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_loses_tags_labels_and_prefix() {
        for (token, metric) in [
            (
                "wasmcustom.trimtab_a_total.pool.chat",
                Some("trimtab_a_total"),
            ),
            ("trimtab_a{pool=\"x\"}", Some("trimtab_a")),
            ("trimtab_{a,b}_total", Some("trimtab_{a,b}_total")),
            ("..endpoints", Some("..endpoints")),
            ("..", None),
            ("../a", None),
            ("trimtab", None),
        ] {
            assert_eq!(metric_in(token), metric, "{token}");
        }
        assert_eq!(braces("a{b,c}d").collect::<Vec<_>>(), ["abd", "acd"]);
        assert_eq!(braces("ab").collect::<Vec<_>>(), ["ab"]);
    }

    #[test]
    fn paths_are_those_of_the_project() {
        for path in ["crates/pick", "a.rs", "deploy/envoy/{a,b}.yaml", ".ci/run"] {
            assert!(is_path(path), "{path}");
        }
        for other in [
            "/etc/a.yaml",
            "~/a.md",
            "target/a",
            "text/4",
            "http://a/b.md",
            "a.b",
            "*.rs",
            ".rs",
        ] {
            assert!(!is_path(other), "{other}");
        }
    }

    #[test]
    fn keys_are_what_stands_before_a_colon() {
        let keys = |text| keys(text).collect::<Vec<_>>();
        assert_eq!(keys("{\"a_b\": [\"c\"], \"d\": \"e\"}"), ["a_b", "d"]);
        assert_eq!(keys("\"@type\": 1, x = \"y\""), [""; 0]);
    }
}
