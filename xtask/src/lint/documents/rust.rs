//! Finds the definitions in a Rust file, line by line. This is enough to look names up, and needs
//! no parser.

use std::collections::BTreeSet;

/// The names in one file.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Functions that a test runner calls.
    pub(super) tests: BTreeSet<String>,
    /// Types, functions, constants, modules, macros and variants of enums.
    pub(super) items: BTreeSet<String>,
    /// Types that are defined or have methods in this file.
    pub(super) homes: BTreeSet<String>,
    /// Contents of string literals.
    pub(super) literals: BTreeSet<String>,
    /// Every word outside of comments.
    pub(super) words: BTreeSet<String>,
}

/// Keywords before a name that they define.
const DEFINE: [&str; 11] = [
    "const",
    "enum",
    "fn",
    "macro_rules",
    "mod",
    "static",
    "struct",
    "trait",
    "type",
    "union",
    "mut",
];

/// Keywords before the type that a line is about.
const ABOUT: [&str; 5] = ["impl", "struct", "enum", "trait", "type"];

/// Reads a file.
pub(super) fn names(code: &str) -> Names {
    let mut names = Names::default();
    // `in_enum` counts the open braces and parentheses within an enum.
    let (mut is_test, mut in_enum) = (false, None::<(i32, i32)>);
    for line in code.lines().map(without_comment) {
        let trimmed = line.trim_start();
        let words: Vec<&str> = words(line).collect();
        names
            .words
            .extend(words.iter().map(|word| (*word).to_owned()));
        names.words.extend(headers(line).map(str::to_owned));
        names.literals.extend(literals(line).map(str::to_owned));
        if let Some((depth, open)) = &mut in_enum {
            let is_start = *depth == 1 && *open == 0;
            if is_start && trimmed.starts_with(|first: char| first.is_ascii_uppercase()) {
                names
                    .items
                    .extend(words.first().map(|word| (*word).to_owned()));
            }
            *depth += change(line, '{', '}');
            *open += change(line, '(', ')');
            in_enum = in_enum.filter(|(depth, _)| *depth > 0);
            continue;
        }
        is_test |= is_test_attribute(trimmed);
        if trimmed.starts_with("#[") || trimmed.is_empty() {
            continue;
        }
        for pair in words.windows(2) {
            let [keyword, name] = pair else { continue };
            if !DEFINE.contains(keyword) || DEFINE.contains(name) {
                continue;
            }
            if *keyword == "fn" && std::mem::take(&mut is_test) {
                names.tests.insert((*name).to_owned());
            }
            names.items.insert((*name).to_owned());
            if *keyword == "enum" && line.trim_end().ends_with('{') {
                in_enum = Some((1, 0));
            }
        }
        if words.iter().any(|word| ABOUT.contains(word)) {
            names
                .homes
                .extend(words.iter().map(|word| (*word).to_owned()));
        }
    }
    names
}

/// Returns whether a line is `#[test]`, `#[tokio::test(..)]`, or an attribute that makes a test on
/// one target only.
fn is_test_attribute(line: &str) -> bool {
    let Some(attribute) = line.strip_prefix("#[") else {
        return false;
    };
    let of_target = attribute.starts_with("cfg_attr(") && attribute.contains("test");
    attribute.starts_with("test]") || attribute.starts_with("tokio::test") || of_target
}

/// Returns the line without a comment. `//` in a string begins no comment.
fn without_comment(line: &str) -> &str {
    let mut from = 0;
    while let Some(found) = line.get(from..).and_then(|rest| rest.find("//")) {
        let code = line.get(..from + found).unwrap_or_default();
        if code.matches('"').count() % 2 == 0 {
            return code;
        }
        from += found + 2;
    }
    line
}

/// Returns how many more brackets a line opens than it closes.
fn change(line: &str, opening: char, closing: char) -> i32 {
    line.chars().fold(0, |depth, char| {
        depth + i32::from(char == opening) - i32::from(char == closing)
    })
}

/// Returns identifiers, numbers and keywords.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_')
        .filter(|word| !word.is_empty())
}

/// Returns names of headers that begin with `x-`.
pub(super) fn headers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char: char| !char.is_ascii_alphanumeric() && char != '-')
        .filter(|word| word.starts_with("x-"))
}

/// Returns the contents of the string literals of one line. An escaped quote ends a literal and
/// begins the next, which finds more literals than there are.
fn literals(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn tests_are_told_from_functions_that_nobody_calls() {
        let code = "#[test]\n#[should_panic]\nfn one() {}\nfn helper() {}\n    #[tokio::test(flavor = \"multi_thread\")]\n    async fn two()\n#[cfg_attr(target_arch = \"wasm32\", wasm_bindgen_test)]\nfn three() {}\n#[cfg(test)]\nmod tests { fn four() {} }\n";
        assert_eq!(names(code).tests, set(&["one", "two", "three"]));
        assert!(names(code).items.contains("helper"));
    }

    #[test]
    fn items_are_what_is_defined_and_variants_of_enums() {
        let code = "pub(crate) enum Kind {\n    /// A first.\n    First,\n    Second { field: Inner },\n    Third(\n        Other,\n    ),\n}\npub const fn make() -> Kind { let Local = 1; }\nstatic mut STATE: u8 = 0;\n// struct Gone;\nimpl Thing for Kind {}\n";
        let found = names(code);
        let items = set(&["Kind", "First", "Second", "Third", "make", "STATE"]);
        assert_eq!(found.items, items);
        assert!(found.homes.contains("Kind") && found.homes.contains("Thing"));
        assert!(!found.words.contains("Gone") && !found.words.contains("first"));
    }

    #[test]
    fn literals_keep_addresses_and_comments_go() {
        let found = names("let a = \"http://host\"; // \"not this\"\n");
        assert_eq!(found.literals, set(&["http://host"]));
    }
}
