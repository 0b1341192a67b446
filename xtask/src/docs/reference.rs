//! What the programs say of their own settings and metrics: the output of an example of each.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::run;

/// What both programs say.
pub(super) struct Reference {
    pub(super) filter: Value,
    pub(super) aggregator: Value,
}

impl Reference {
    /// Builds and runs the examples.
    pub(super) fn read() -> Result<Self> {
        Ok(Self {
            filter: said_by("trimtab-filter", "filter_reference")?,
            aggregator: said_by("trimtab-aggregator", "aggregator_reference")?,
        })
    }
}

fn said_by(package: &str, example: &str) -> Result<Value> {
    let mut command = run::cargo("run");
    command.args(["--quiet", "--package", package, "--example", example]);
    let text = run::output(&mut command)?;
    serde_json::from_str(&text)
        .with_context(|| format!("the example {example} of {package} prints no JSON"))
}

/// Returns a list of this name.
pub(super) fn list<'v>(value: &'v Value, name: &str) -> Result<&'v [Value]> {
    let list = value[name].as_array().map(Vec::as_slice);
    list.with_context(|| format!("the reference has no list `{name}`"))
}

/// Returns a text of this name. It may be empty.
pub(super) fn text<'v>(value: &'v Value, name: &str) -> Result<&'v str> {
    let text = value[name].as_str();
    text.with_context(|| format!("the reference has no text `{name}` in {value}"))
}

/// Returns a text as a cell of a table may have it.
pub(super) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
