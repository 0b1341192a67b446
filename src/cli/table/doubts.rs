//! Why endpoints get no requests.

use std::fmt::Write as _;

use trimtab_loadtable::Table;

/// A line for each endpoint that is listed as any other and gets no requests.
pub(super) fn lines(table: &Table) -> String {
    let mut out = String::new();
    for endpoint in &table.endpoints {
        let Some(doubt) = endpoint.doubt else {
            continue;
        };
        let (address, doubt, means) = (&endpoint.address, doubt.as_str(), doubt.explanation());
        // Writing to a String cannot fail.
        let _ = write!(out, "\n{address} is {doubt}: {means}\n");
    }
    out
}
