//! Fuzzes bodies of any kind. The tokenizer must agree with serde_json on all that serde_json
//! accepts. The way in which a body is cut must change nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trimtab_filter::oracle::{agrees, describe, document};

fuzz_target!(|input: (u8, [u8; 3], &[u8])| {
    let (path, sizes, json) = input;
    let sizes = sizes.map(usize::from);
    let found = document(json, &sizes);
    if let Ok(expected) = serde_json::from_slice::<serde_json::Value>(json)
        && (expected.is_array() || expected.is_object())
    {
        let found = found.expect("accepted by serde_json");
        assert!(agrees(&found, &expected), "{found} is not {expected}");
    }
    let paths = [
        "/v1/chat/completions",
        "/v2/models/m/infer",
        "/generate_stream",
    ];
    let path = paths[usize::from(path) % paths.len()];
    assert_eq!(describe(path, json, &sizes), describe(path, json, &[]));
});
