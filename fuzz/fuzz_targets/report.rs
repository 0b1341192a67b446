//! Fuzzes bytes as a report. They must be refused, or read as a report that can be written and read
//! again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trimtab_loadtable::Report;

fuzz_target!(|bytes: &[u8]| {
    let Ok(report) = Report::decode(bytes) else {
        return;
    };
    assert_eq!(Report::decode(&report.encode()).as_ref(), Ok(&report));
});
