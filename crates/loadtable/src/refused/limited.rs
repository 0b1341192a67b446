//! More than the limits allow, and exactly as much.

use super::{fleet, load, refused};
use crate::golden::{report, table};
use crate::{DecodeError, Endpoint, EndpointReport, Report, Seen, Table, limits, wire};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn more_than_the_limits_is_refused() {
    let many = |limit: usize| wire::Strings {
        text: "a".repeat(limit + 1),
        lengths: vec![1; limit + 1],
    };
    let too_many = |change: fn(&mut wire::Table, wire::Strings), limit: usize| {
        let error = refused(|message| change(message, many(limit)));
        assert!(
            matches!(error, DecodeError::TooMany { found, limit: at, .. } if at == limit && found == limit + 1)
        );
    };
    too_many(
        |message, strings| message.adapters = Some(strings),
        limits::ADAPTERS,
    );
    too_many(
        |message, strings| message.classes.as_mut().expect("classes").names = Some(strings),
        limits::CLASSES,
    );
    too_many(
        |message, strings| fleet(message).addresses = Some(strings),
        limits::ENDPOINTS,
    );
    too_many(
        |message, strings| fleet(message).zones = Some(strings),
        limits::ZONES,
    );
    let resident =
        refused(|message| load(message).adapters = vec![0; limits::RESIDENT_ADAPTERS + 1]);
    assert!(matches!(
        resident,
        DecodeError::TooMany {
            field: "resident adapters",
            ..
        }
    ));
}

#[test]
fn the_largest_table_fits_into_the_limit() {
    let mut largest = table();
    largest.adapters = (0..20).map(|n| format!("adapter-{n:02}")).collect();
    let row = |n: usize| Endpoint {
        address: format!("[2001:db8:1111:2222:3333:4444:5555:{n:04x}]:65535"),
        adapters: Some((0..20).collect()),
        pending_tokens: Some(u32::MAX - 1),
        in_flight: Some(1_000_000),
        ..table().endpoints.swap_remove(0)
    };
    largest.endpoints = (0..limits::ENDPOINTS).map(row).collect();
    let bytes = largest.encode();
    assert!(bytes.len() < limits::TABLE_BYTES, "{} bytes", bytes.len());
    assert_eq!(Table::decode(&bytes), Ok(largest));
    let row = |n: usize| EndpointReport {
        address: format!("[2001:db8:1111:2222:3333:4444:5555:{n:04x}]:65535"),
        sent: 1 << 40,
        started: 1 << 40,
        finished: 1 << 40,
        seen: vec![Seen {
            kind: 65,
            count: limits::SEEN_COUNT,
        }],
        ..EndpointReport::default()
    };
    let largest = Report {
        endpoints: (0..limits::ENDPOINTS).map(row).collect(),
        ..report()
    };
    let bytes = largest.encode();
    assert!(bytes.len() < limits::REPORT_BYTES, "{} bytes", bytes.len());
    assert_eq!(Report::decode(&bytes), Ok(largest));
}
