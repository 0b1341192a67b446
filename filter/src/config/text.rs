//! Checks of texts of the configuration.

use serde_json::Value;
use trimtab_settings::Settings;

use super::clusters::is_service;

/// The most entries of a list of conditions.
const MAX_ENTRIES: usize = 256;

/// Reads a header's name, in lower case.
pub(crate) fn header(s: &Settings<'_>, name: &'static str) -> Option<String> {
    s.string(name)
        .max_bytes(128)
        .map(|name| {
            if !is_header(&name) {
                return Err("is not a header name");
            }
            Ok(name.to_ascii_lowercase())
        })
        .hint("use letters, digits and dashes, such as x-session-id")
        .optional()
}

/// Reads names of headers, in lower case: one, or a list of them.
pub(super) fn headers(s: &Settings<'_>, name: &'static str) -> Option<Vec<String>> {
    const MOST: usize = 32;
    s.value(name)
        .map(|value| {
            let one = std::slice::from_ref(value);
            let list = value.as_array().map_or(one, Vec::as_slice);
            let name = |value: &Value| {
                let name = value.as_str().filter(|name| is_header(name));
                name.map(str::to_ascii_lowercase)
            };
            let names: Option<Vec<String>> = list.iter().map(name).collect();
            names
                .filter(|names| names.len() <= MOST)
                .ok_or("is neither a header name nor a list of at most 32")
        })
        .hint("use letters, digits and dashes, such as \"x-session-id\" or [\"x-session-id\", \"x-conversation-id\"]")
        .optional()
}

fn is_header(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=128).contains(&name.len()) && name.bytes().all(token)
}

/// Checks a pool's name, which stands in a URL and in metric names.
pub(super) fn path_segment(name: &str) -> Result<(), &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.bytes().all(plain) {
        Ok(())
    } else {
        Err("has characters other than letters, digits, '-', '_' and '.'")
    }
}

pub(super) fn visible_ascii(text: &str) -> Result<(), &'static str> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err("has spaces or characters that are not ASCII")
    }
}

/// Checks ends of paths; at least one.
pub(super) fn paths(paths: &[String]) -> Result<(), String> {
    if paths.is_empty() {
        return Err("is empty: no request would ever be placed".into());
    }
    // A colon begins a method, as in `/v1/models/NAME:predict`.
    let is_end = |path: &str| path.starts_with('/') || path.starts_with(':');
    list(paths, 64, is_end, "does not begin with `/` or `:`")
}

/// Checks parts of paths, which begin with a slash.
pub(super) fn prefixes(paths: &[String]) -> Result<(), String> {
    list(
        paths,
        64,
        |path| path.starts_with('/'),
        "does not begin with `/`",
    )
}

/// Whether a name fits a pattern: a whole name, or with `*` at its end the beginning of one.
pub(super) fn fits(pattern: &str, name: &[u8]) -> bool {
    match pattern.strip_suffix('*') {
        Some(begin) => name.starts_with(begin.as_bytes()),
        None => name == pattern.as_bytes(),
    }
}

/// Checks names of models, hosts or clusters.
pub(super) fn words(words: &[String]) -> Result<(), String> {
    list(words, MAX_ENTRIES, |word| !word.is_empty(), "is empty")
}

/// Checks entries of `services`.
pub(super) fn services(services: &[String]) -> Result<(), String> {
    const FAULT: &str = "is not as `models/llama:8000` (namespace/name:port)";
    list(services, MAX_ENTRIES, is_service, FAULT)
}

fn list(
    entries: &[String],
    most: usize,
    is_good: fn(&str) -> bool,
    fault: &str,
) -> Result<(), String> {
    let bad = entries
        .iter()
        .find(|entry| !is_good(entry) || entry.len() > 256);
    match bad {
        None if entries.len() > most => {
            Err(format!("has {} entries, more than {most}", entries.len()))
        }
        None => Ok(()),
        Some(entry) => Err(format!(
            "has `{}`, which {fault} or is longer than 256 bytes",
            entry.chars().take(40).collect::<String>()
        )),
    }
}
