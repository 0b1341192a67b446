//! Reads the text of YAML files that the operator writes.

use serde_json::Value;
use serde_saphyr::{RenderOptions, SnippetMode, UserMessageFormatter};
use trimtab_settings::Problems;

/// How many bytes of a configuration or endpoint file are read.
pub const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Reads YAML as a JSON value, for [`Settings`](trimtab_settings::Settings). An empty text is
/// `Null`.
///
/// # Errors
/// Says where the text stops being YAML, or that it holds several documents.
pub(crate) fn yaml(text: &str) -> Result<Value, Problems> {
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_saphyr::from_str(text).map_err(|error| {
        let documents = serde_saphyr::from_multiple::<Value>(text);
        if let Some(count) = documents
            .ok()
            .map(|list| list.len())
            .filter(|count| *count > 1)
        {
            let reason = format!("holds {count} YAML documents, and one is read");
            let fix = "put each into a file of its own; `---` begins the next";
            return Problems::one("", reason, fix);
        }
        Problems::one(
            "",
            not_yaml(&error),
            "check indentation and quotes at that line",
        )
    })
}

/// Says why a text is not YAML, in words for the author of the text.
#[must_use]
pub fn not_yaml(error: &serde_saphyr::Error) -> String {
    let mut options = RenderOptions::new(&UserMessageFormatter);
    // One line: a snippet of several lines would look like further problems.
    options.snippets = SnippetMode::Off;
    let reason = error.render_with_options(options);
    let reason: String = reason.chars().take(400).collect();
    format!("is not YAML: {reason}")
}
