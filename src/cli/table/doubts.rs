//! Prints why endpoints get no requests.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use trimtab_loadtable::Table;

/// Returns a line for each endpoint with a doubt, and below it why its page is missing.
///
/// - `table`: the load table.
/// - `reasons`: why the last scrape brought no page in time, by address.
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
            // The reason can be any text, also text of an endpoint, and this may be a terminal.
            let reason = reason.replace(char::is_control, " ");
            let _ = writeln!(out, "  its page: {reason}");
        }
    }
    out
}
