//! Fuzzes answers of any kind. The way in which an answer is cut must not change where its content
//! begins.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trimtab_filter::oracle::answer_begins;

fuzz_target!(|input: (bool, u8, &[u8])| {
    let (streams, size, answer) = input;
    let size = usize::from(size).max(1);
    let exact = answer_begins(answer, &[1], streams);
    let cut = answer_begins(answer, &[size], streams);
    assert_eq!(cut, exact.map(|(place, is_error)| (place / size, is_error)));
});
