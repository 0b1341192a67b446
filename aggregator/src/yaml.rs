//! Files that the operator writes, as text.

use serde_json::Value;
use serde_saphyr::{RenderOptions, SnippetMode, UserMessageFormatter};
use trimtab_settings::Problems;

/// Bytes of a configuration or endpoint file that are read.
pub const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// YAML as a JSON value, for [`Settings`](trimtab_settings::Settings).
///
/// # Errors
/// Where the text stops being YAML.
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

/// Why a text is no YAML, in words for who wrote the text and not for who wrote the program.
#[must_use]
pub fn not_yaml(error: &serde_saphyr::Error) -> String {
    let mut options = RenderOptions::new(&UserMessageFormatter);
    // One line: a picture of the place would look like further problems.
    options.snippets = SnippetMode::Off;
    let reason = error.render_with_options(options);
    let reason: String = reason.chars().take(400).collect();
    format!("is not YAML: {reason}")
}
