//! Writes what a long test has measured beside the records of benchmarks.

use std::path::Path;

use serde_json::{Value, json};

use super::clients::span;

/// Writes the record of a soak test into the folder that `cargo xtask bench soak` names. Without
/// one there is none.
///
/// - `form`: what was tested, in words. The file is called by it.
/// - `more`: further fields.
pub(crate) fn record(form: &str, requests: u64, failed: usize, more: Value) {
    let told = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let Some(folder) = told("TRIMTAB_RECORD_DIR") else {
        return;
    };
    let mut record = json!({
        "bench": "soak",
        "command": format!("cargo xtask bench soak --for {}s", span().as_secs()),
        "commit": told("TRIMTAB_COMMIT"),
        "envoy": told("TRIMTAB_ENVOY_VERSION"),
        "form": form,
        "seconds": span().as_secs(),
        "requests": requests,
        "failed": failed,
    });
    if let (Value::Object(record), Value::Object(more)) = (&mut record, more) {
        record.extend(more);
    }
    let name = form.replace(' ', "-");
    std::fs::create_dir_all(&folder).unwrap();
    let file = Path::new(&folder).join(format!("soak-{name}.json"));
    std::fs::write(file, serde_json::to_string_pretty(&record).unwrap() + "\n").unwrap();
}
