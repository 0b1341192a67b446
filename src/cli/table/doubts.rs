//! Why endpoints get no requests.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use trimtab_loadtable::Table;

/// A line for each endpoint that is listed as any other and gets no requests, and below it why there is no page of it. `reasons`: by address.
pub(super) fn lines(table: &Table, reasons: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    for endpoint in &table.endpoints {
        let Some(doubt) = endpoint.doubt else {
            continue;
        };
        let (address, doubt, means) = (&endpoint.address, doubt.as_str(), doubt.explanation());
        // Writing to a String cannot fail.
        let _ = write!(out, "\n{address} is {doubt}: {means}\n");
        if let Some(reason) = reasons.get(address) {
            // An aggregator may say what it wants, and this may be a terminal.
            let reason = reason.replace(char::is_control, " ");
            let _ = writeln!(out, "  its page: {reason}");
        }
    }
    out
}
