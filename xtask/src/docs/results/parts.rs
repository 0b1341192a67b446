//! What single parts cost. All these records have one form: a list `figures`, each with `what`,
//! `value`, `unit` and perhaps `budget`.

use anyhow::{Context as _, Result};

use super::super::record::{Record, number};
use super::{head, row, shown};

/// Names of records, with their questions.
const PARTS: [(&str, &str); 6] = [
    ("module", "Size of the filter"),
    (
        "vm",
        "A decision and a table, natively and in a VM (wasmtime, not V8)",
    ),
    ("table", "Bytes of a table"),
    (
        "body_facts",
        "Reading bodies of 1 MB, natively and in the module (wasmtime, not V8)",
    ),
    ("scrape", "Scraping 100 endpoints at 5 Hz"),
    ("streams", "The model server"),
];

pub(super) fn table() -> Result<String> {
    let mut out = String::new();
    for (name, question) in PARTS {
        let record = Record::newest(name)?;
        let command = record
            .text("command")
            .context("a record names no command")?;
        out.push_str(&format!("**{question}.** {}\n\n", record.source(command)));
        out.push_str(&head(&["what", "figure", "budget"]));
        for figure in record.list("figures")? {
            let what = figure["what"].as_str().context("a figure is of nothing")?;
            let unit = figure["unit"].as_str().context("a figure has no unit")?;
            let with_unit = |value: Option<f64>| match value {
                Some(_) => format!("{} {unit}", shown(value)),
                None => "-".to_owned(),
            };
            out.push_str(&row(&[
                what.to_owned(),
                with_unit(number(figure, "value")),
                with_unit(number(figure, "budget")),
            ]));
        }
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    Ok(out)
}
