//! A reader gets back whatever a writer may hold. It refuses what a writer cannot hold.

mod values;

use proptest::collection::vec;
use proptest::prelude::*;
use trimtab_loadtable::{Report, Table};
use values::{report, table};

proptest! {
    #[test]
    fn a_table_survives_the_wire(table in table()) {
        prop_assert_eq!(table.check(), Ok(()));
        prop_assert_eq!(Table::decode(&table.encode()), Ok(table));
    }

    #[test]
    fn a_report_survives_the_wire(report in report()) {
        prop_assert_eq!(report.check(), Ok(()));
        prop_assert_eq!(Report::decode(&report.encode()), Ok(report));
    }

    #[test]
    fn any_bytes_are_refused_or_read_as_something_that_can_be_written_again(tail in vec(any::<u8>(), 0..400)) {
        // The format tag goes in front, because otherwise hardly any input passes the first check.
        let bytes: Vec<u8> = [8, 1].into_iter().chain(tail).collect();
        if let Ok(table) = Table::decode(&bytes) {
            prop_assert_eq!(Table::decode(&table.encode()), Ok(table));
        }
        if let Ok(report) = Report::decode(&bytes) {
            prop_assert_eq!(Report::decode(&report.encode()), Ok(report));
        }
    }

    #[test]
    fn a_flipped_byte_never_panics_and_what_is_read_can_be_written_again(
        table in table(), at in any::<prop::sample::Index>(), to in any::<u8>(),
    ) {
        let mut bytes = table.encode();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(read) = Table::decode(&bytes) {
            prop_assert_eq!(Table::decode(&read.encode()), Ok(read));
        }
    }
}

proptest! {
    // Each case decodes as many times as the message has bytes.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_table_cut_anywhere_is_refused_and_never_read_as_another(table in table()) {
        let bytes = table.encode();
        for length in 0..bytes.len() {
            let cut = Table::decode(&bytes[..length]);
            prop_assert!(cut.is_err(), "{length} of {} bytes were read as {cut:?}", bytes.len());
        }
    }

    // Most fields of a report may be missing, so a cut between two fields can leave a valid report.
    #[test]
    fn a_report_cut_anywhere_is_refused_or_a_report_with_less_in_it(report in report()) {
        let bytes = report.encode();
        for length in 0..bytes.len() {
            if let Ok(cut) = Report::decode(&bytes[..length]) {
                prop_assert!(cut.endpoints.len() <= report.endpoints.len());
                prop_assert_eq!(Report::decode(&cut.encode()), Ok(cut));
            }
        }
    }
}
