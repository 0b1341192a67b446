//! Decides by spelling and place what a code span claims to exist, and looks it up.

use super::foreign;
use super::markdown::{Kind, Span};
use super::near::nearest;
use super::rust::words;
use super::spelling::{
    braces, fields, is_camel, is_constant, is_path, is_snake, keys, last_word, metric_in,
};
use super::tree::{Tree, joined};

/// Columns whose names are proofs: tests, or files of tests.
const PROOF: [&str; 2] = ["proof", "held by"];
/// Marks before the names in such a column, each with the folder of the tests.
const TIERS: [(&str, &str); 4] = [
    ("e", "tests/envoy/"),
    ("h", "tests/host/"),
    ("a", "aggregator/"),
    ("c", "crates/"),
];
/// Columns and words whose names are settings.
const SETTING: [&str; 3] = ["setting", "settings", "field"];
/// Programs whose first argument is a command.
const PROGRAMS: [&str; 2] = ["cargo xtask ", "trimtab "];
/// Returns the problems of a span. `folder` is the folder of the document. Each problem has the
/// name, and the nearest name that exists.
pub(super) fn problems(tree: &Tree, folder: &str, span: &Span) -> Vec<String> {
    if span.kind == Kind::Link {
        return link(tree, folder, &span.text).into_iter().collect();
    }
    let text = span.text.as_str();
    if foreign::is_known(text) {
        return Vec::new();
    }
    if is_snake(text) && PROOF.contains(&span.column.as_str()) {
        return proof(tree, span).into_iter().collect();
    }
    if SETTING.contains(&span.column.as_str()) || SETTING.contains(&last_word(&span.before)) {
        let fields = fields(text);
        return fields.filter_map(|field| setting(tree, field)).collect();
    }
    let mut wrong: Vec<_> = keys(text).filter_map(|key| setting(tree, key)).collect();
    wrong.extend(command(tree, text));
    let is_alone = !text.contains(char::is_whitespace);
    let tokens = text.split_whitespace();
    wrong.extend(tokens.filter_map(|token| token_problem(tree, folder, token, is_alone)));
    wrong
}

/// Returns the problem of one word of a span. `is_alone` says that the word is the whole span.
/// Words of a command may be anything.
fn token_problem(tree: &Tree, folder: &str, token: &str, is_alone: bool) -> Option<String> {
    let token = token.trim_matches(['"', '\'', ',', ';', ':', '(', ')']);
    if foreign::is_known(token) {
        return None;
    }
    if let Some(flag) = token.strip_prefix("--").filter(|flag| !flag.is_empty()) {
        return word(tree, &flag.replace('-', "_"), "flag");
    }
    if let Some(metric) = metric_in(token) {
        return braces(metric).find_map(|name| self::metric(tree, &name));
    }
    if is_path(token) && (is_alone || token.contains('/')) {
        return braces(token).find_map(|path| self::path(tree, folder, &path));
    }
    if let Some((owner, name)) = token.rsplit_once("::") {
        return member(tree, owner, name);
    }
    if token.starts_with("x-") {
        return word(tree, token, "header");
    }
    if !is_alone {
        return None;
    }
    if is_camel(token) {
        return known(
            tree.has_item(token),
            "type, variant or constant",
            token,
            tree.items(),
        );
    }
    (is_snake(token) && token.contains('_') || is_constant(token))
        .then(|| word(tree, token, "name"))
        .flatten()
}

fn link(tree: &Tree, folder: &str, target: &str) -> Option<String> {
    let path = target.split('#').next().unwrap_or_default();
    if path.is_empty() || path.contains("://") {
        return None;
    }
    let exists = tree.paths.contains(&joined(folder, path));
    known(exists, "file", path, tree.paths.iter().map(String::as_str))
}

fn path(tree: &Tree, folder: &str, path: &str) -> Option<String> {
    let known_paths = tree.paths.iter().map(String::as_str);
    known(tree.has_path(folder, path), "file", path, known_paths)
}

/// Looks up a test or a file of tests in the folder of the mark before it.
fn proof(tree: &Tree, span: &Span) -> Option<String> {
    let name = span.text.as_str();
    let tier = tier(&span.before);
    let below = tier.unwrap_or_default();
    let is_file = tree.paths.iter().any(|path| {
        let file = path.strip_suffix(".rs").unwrap_or(path);
        path.starts_with(below) && file.rsplit('/').next() == Some(name)
    });
    if tree.has_test(below, name) || is_file {
        return None;
    }
    let place = if tier.is_some() {
        format!("test below {below}")
    } else {
        "test".to_owned()
    };
    // A single word may be a module or a lint of the tree. A sentence can only be a test.
    let is_sentence = name.matches('_').count() > 1;
    if tier.is_none() && !is_sentence && (tree.has_item(name) || is_file) {
        return None;
    }
    known(false, &place, name, tree.tests(below))
}

/// Returns the folder of the tests, by the first mark of the last clause.
fn tier(before: &str) -> Option<&'static str> {
    let clause = before.rsplit(';').next().unwrap_or_default();
    let mut outside = clause.split('`').step_by(2);
    outside.find_map(|text| {
        let mark = |word| TIERS.iter().find(|(mark, _)| *mark == word);
        words(text).find_map(mark).map(|(_, folder)| *folder)
    })
}

fn setting(tree: &Tree, field: &str) -> Option<String> {
    let is_known = tree.settings.contains(field) || foreign::is_known(field);
    known(
        is_known,
        "setting",
        field,
        tree.settings.iter().map(String::as_str),
    )
}

fn metric(tree: &Tree, name: &str) -> Option<String> {
    let all = || tree.metrics.iter().map(String::as_str);
    let exists = match (name.strip_suffix('*'), name.strip_prefix("..")) {
        (Some(start), _) => all().any(|known| known.starts_with(start)),
        (_, Some(end)) => all().any(|known| known.ends_with(end)),
        _ => tree.metrics.contains(name),
    };
    known(exists, "metric", name, all())
}

fn member(tree: &Tree, owner: &str, name: &str) -> Option<String> {
    let owner = owner.rsplit("::").next().unwrap_or(owner);
    let is_name = is_snake(owner) || is_camel(owner);
    if !is_name || tree.owns(owner, name) {
        return None;
    }
    let owned = tree.items().filter(|item| tree.owns(owner, item));
    let meant = nearest(name, owned).map(|near| format!("{owner}::{near}"));
    Some(missing(
        "item",
        &format!("{owner}::{name}"),
        meant.as_deref(),
    ))
}

fn word(tree: &Tree, name: &str, what: &str) -> Option<String> {
    let all = tree.words.iter().map(String::as_str);
    known(tree.words.contains(name), what, name, all)
}

/// Returns the problem, or `None` if the name exists.
fn known<'c>(
    exists: bool,
    what: &str,
    name: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<String> {
    if exists {
        return None;
    }
    Some(missing(what, name, nearest(name, candidates)))
}

fn missing(what: &str, name: &str, meant: Option<&str>) -> String {
    let fix = meant.map_or_else(
        || "write the name that there is, or remove it".to_owned(),
        |meant| format!("`{meant}`?"),
    );
    format!("there is no {what} `{name}`: {fix}")
}

/// Looks up a command of this project: `trimtab model-server` is the variant `ModelServer` of an
/// enum.
fn command(tree: &Tree, text: &str) -> Option<String> {
    let after = PROGRAMS
        .iter()
        .find_map(|program| text.strip_prefix(program))?;
    let name = after.split_whitespace().next()?;
    if !name
        .chars()
        .all(|char| char.is_ascii_lowercase() || char == '-')
        || name.starts_with('-')
    {
        return None;
    }
    let capital = |part: &str| {
        let mut chars = part.chars();
        chars
            .next()
            .map(|first| first.to_ascii_uppercase())
            .into_iter()
            .chain(chars)
            .collect::<String>()
    };
    let variant: String = name.split('-').map(capital).collect();
    known(tree.has_item(&variant), "command", name, std::iter::empty())
}
