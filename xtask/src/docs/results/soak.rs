//! The soak tests, each with a record of its own.

use anyhow::{Result, bail};

use super::super::record::Record;
use super::{head, row, thousands};

/// Names of the records.
const TESTS: [&str; 3] = [
    "soak-single",
    "soak-tap-and-pick",
    "soak-odd-clients-and-servers",
];
const COMMAND: &str = "cargo xtask bench soak --for 10m";
/// What is measured at a third of the time and at its end, in MiB.
const MEMORIES: [&str; 3] = ["resident", "allocated", "largest_vm"];

pub(super) fn table() -> Result<String> {
    // A test that was not recorded yet is left out.
    let found = TESTS.iter().map(|name| Record::find(name));
    let records: Vec<Record> = found.filter_map(Result::transpose).collect::<Result<_>>()?;
    let Some(first) = records.first() else {
        bail!("no soak test is recorded: run `{COMMAND}`");
    };
    let mut out = format!(
        "Memory in MiB after a third of the time and at its end. {}\n\n",
        first.source(COMMAND)
    );
    out.push_str(&head(&[
        "form",
        "day",
        "seconds",
        "requests",
        "failed",
        "resident set",
        "allocated",
        "largest VM",
    ]));
    for record in &records {
        let form = record.text("form").unwrap_or("-").to_owned();
        let mut cells = vec![form, record.day().to_owned()];
        for name in ["seconds", "requests", "failed"] {
            cells.push(thousands(record.number(name)?));
        }
        for memory in MEMORIES {
            let warm = record.number(&format!("memory_mib/{memory}/warm"))?;
            let end = record.number(&format!("memory_mib/{memory}/end"))?;
            cells.push(format!("{warm:.1} to {end:.1}"));
        }
        out.push_str(&row(&cells));
    }
    Ok(out)
}
