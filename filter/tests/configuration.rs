//! Configurations that are nearly right are read or refused, and never cause a panic.
//! `fuzz/fuzz_targets/config.rs` does the same without end.

use proptest::prelude::*;

#[path = "configuration/mutated.rs"]
mod mutated;

use trimtab_filter::Config;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_good_configuration_with_any_values_changed_is_read_or_refused_with_reasons(
        bytes in proptest::collection::vec(any::<u8>(), 0..60)
    ) {
        if let Err(problems) = Config::read(&mutated::value(&bytes)) {
            prop_assert!(!problems.is_empty());
            prop_assert!(problems.iter().all(|problem| !problem.to_string().is_empty()));
        }
    }

    #[test]
    fn the_text_of_a_good_configuration_with_any_bytes_changed_is_read_or_refused(
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..6),
        keep in any::<usize>()
    ) {
        let mut text = mutated::good().to_string().into_bytes();
        for (at, byte) in changes {
            let at = at % text.len();
            text[at] = byte;
        }
        text.truncate(1 + keep % text.len());
        // Both results are fine; a panic is not.
        let _ = Config::parse(&text);
    }
}

#[test]
fn what_is_mutated_is_good_to_begin_with() {
    let read = Config::read(&mutated::good());
    assert!(read.is_ok(), "{read:?}");
}
