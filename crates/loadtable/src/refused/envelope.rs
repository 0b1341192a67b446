//! Messages that are refused before a column is read.

use super::refused;
use crate::{DecodeError, Report, Table, limits};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn a_newer_format_is_named_even_when_its_fields_have_other_types() {
    // Format 2, and a varint where format 1 has the pool's name.
    let error = Table::decode(&[8, 2, 0x10, 7]).expect_err("must be refused");
    assert_eq!(
        error,
        DecodeError::Format {
            found: 2,
            supported: 1
        }
    );
    assert!(error.to_string().contains("update the older"), "{error}");
    assert_eq!(
        Report::decode(&[8, 2]),
        Err(DecodeError::Format {
            found: 2,
            supported: 1
        })
    );
}

#[test]
fn bytes_that_do_not_begin_with_a_format_are_refused() {
    for bytes in [&b""[..], b"<html>", &[0x12, 0x01, 0x61], &[8], &[8, 0x80]] {
        assert_eq!(
            Table::decode(bytes),
            Err(DecodeError::Format {
                found: 0,
                supported: 1
            }),
            "{bytes:?}"
        );
    }
}

#[test]
fn too_many_bytes_are_refused_before_they_are_read() {
    let bytes = vec![0; limits::TABLE_BYTES + 1];
    assert!(matches!(
        Table::decode(&bytes),
        Err(DecodeError::TooLarge {
            limit: limits::TABLE_BYTES,
            ..
        })
    ));
    let bytes = vec![0; limits::REPORT_BYTES + 1];
    assert!(matches!(
        Report::decode(&bytes),
        Err(DecodeError::TooLarge {
            limit: limits::REPORT_BYTES,
            ..
        })
    ));
}

#[test]
fn a_table_without_fleet_or_load_was_cut() {
    assert!(matches!(
        refused(|message| message.load = None),
        DecodeError::Malformed(_)
    ));
    assert!(matches!(
        refused(|message| message.fleet = None),
        DecodeError::Malformed(_)
    ));
}
