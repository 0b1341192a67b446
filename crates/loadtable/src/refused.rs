//! One test per kind of input that is refused, each a small change to a message that is accepted.

use prost::Message as _;

use crate::golden::{report, table};
use crate::{DecodeError, Endpoint, EndpointReport, Report, Table, limits, wire};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// The error of the golden table after `change` to its message.
#[track_caller]
fn refused(change: impl FnOnce(&mut wire::Table)) -> DecodeError {
    let mut message = wire::Table::decode(table().encode().as_slice()).expect("the golden table");
    change(&mut message);
    Table::decode(&message.encode_to_vec()).expect_err("must be refused")
}

/// The same for the report.
#[track_caller]
fn refused_report(change: impl FnOnce(&mut wire::Report)) -> DecodeError {
    let mut message =
        wire::Report::decode(report().encode().as_slice()).expect("the golden report");
    change(&mut message);
    Report::decode(&message.encode_to_vec()).expect_err("must be refused")
}

fn fleet(message: &mut wire::Table) -> &mut wire::Fleet {
    message.fleet.as_mut().expect("fleet")
}

fn load(message: &mut wire::Table) -> &mut wire::Load {
    message.load.as_mut().expect("load")
}

/// The field that an error names.
fn field(error: &DecodeError) -> &'static str {
    match error {
        DecodeError::Column { field, .. }
        | DecodeError::TooMany { field, .. }
        | DecodeError::Range { field, .. }
        | DecodeError::Text { field, .. }
        | DecodeError::Order { field, .. } => field,
        DecodeError::TooLarge { .. } | DecodeError::Format { .. } | DecodeError::Malformed(_) => "",
    }
}

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

#[test]
fn a_column_of_another_length_is_refused_and_named() {
    let cut = |change: fn(&mut wire::Table)| field(&refused(change));
    assert_eq!(cut(|m| fleet(m).roles.truncate(2)), "roles");
    assert_eq!(cut(|m| fleet(m).class.push(0)), "class");
    assert_eq!(cut(|m| fleet(m).kv_blocks.truncate(2)), "kv_blocks");
    assert_eq!(
        cut(|m| fleet(m).kv_block_tokens.truncate(2)),
        "kv_block_tokens"
    );
    assert_eq!(cut(|m| fleet(m).batch_limit.truncate(2)), "batch_limit");
    assert_eq!(cut(|m| fleet(m).zone.truncate(2)), "zone");
    assert_eq!(cut(|m| load(m).flags.push(0)), "flags");
    assert_eq!(cut(|m| load(m).age_ms.truncate(2)), "age_ms");
    assert_eq!(cut(|m| load(m).wait_ms.truncate(2)), "wait_ms");
    assert_eq!(cut(|m| load(m).waiting.truncate(2)), "waiting");
    assert_eq!(cut(|m| load(m).running.truncate(2)), "running");
    assert_eq!(cut(|m| load(m).kv_used.truncate(2)), "kv_used");
    assert_eq!(cut(|m| load(m).in_flight.truncate(2)), "in_flight");
    assert_eq!(
        cut(|m| load(m).pending_tokens.truncate(2)),
        "pending_tokens"
    );
    assert_eq!(
        cut(|m| load(m).adapter_counts.truncate(2)),
        "adapter_counts"
    );
    assert_eq!(cut(|m| load(m).adapters.push(0)), "adapters");
    assert_eq!(
        cut(|m| m.classes.as_mut().expect("classes").speed.push(1.0)),
        "speed"
    );
    assert_eq!(field(&refused_report(|m| m.sent.push(0))), "sent");
}

#[test]
fn a_value_out_of_range_is_refused_and_named() {
    let wrong = |change: fn(&mut wire::Table)| field(&refused(change));
    assert_eq!(wrong(|m| m.sequence = 0), "sequence");
    assert_eq!(wrong(|m| m.placement_key.truncate(15)), "placement_key");
    assert_eq!(
        wrong(|m| m.demand.as_mut().expect("demand").arrival_rate = Some(f32::NAN)),
        "arrival_rate"
    );
    assert_eq!(
        wrong(|m| m.demand.as_mut().expect("demand").uncached_tokens = Some(-1.0)),
        "uncached_tokens"
    );
    assert_eq!(
        wrong(|m| m.demand.as_mut().expect("demand").output_tokens = Some(f32::INFINITY)),
        "output_tokens"
    );
    assert_eq!(
        wrong(|m| m.demand.as_mut().expect("demand").adapter_load_s = Some(4e3)),
        "adapter_load_s"
    );
    assert_eq!(
        wrong(|m| m.classes.as_mut().expect("classes").speed[0] = 0.0),
        "speed"
    );
    assert_eq!(
        wrong(|m| m.classes.as_mut().expect("classes").speed[0] = f32::NAN),
        "speed"
    );
    assert_eq!(
        wrong(|m| m.classes.as_mut().expect("classes").prefill_tokens_per_s[0] = 0.0),
        "prefill_tokens_per_s"
    );
    assert_eq!(
        wrong(|m| m.classes.as_mut().expect("classes").decode_s_per_sequence[0] = 1e9),
        "decode_s_per_sequence"
    );
    assert_eq!(wrong(|m| fleet(m).roles[0] = 3), "roles");
    assert_eq!(wrong(|m| fleet(m).class[0] = 3), "class");
    assert_eq!(wrong(|m| fleet(m).class[0] = 70_000), "class");
    assert_eq!(
        wrong(|m| fleet(m).kv_block_tokens[0] = 1),
        "kv_block_tokens"
    );
    assert_eq!(wrong(|m| fleet(m).zone[0] = 3), "zone");
    assert_eq!(wrong(|m| load(m).flags[0] = 3), "flags");
    assert_eq!(wrong(|m| load(m).flags[0] = 12), "flags");
    assert_eq!(wrong(|m| load(m).adapter_counts[2] = 2), "adapter_counts");
    assert_eq!(wrong(|m| load(m).adapters[1] = 2), "adapters");
    let wrong = |change: fn(&mut wire::Report)| field(&refused_report(change));
    assert_eq!(wrong(|m| m.wait_ms = limits::WAIT_MS + 1), "wait_ms");
    assert_eq!(wrong(|m| m.workers = limits::WORKERS + 1), "workers");
    assert_eq!(
        wrong(|m| m.in_flight[0] = limits::REPORTED_IN_FLIGHT + 1),
        "in_flight"
    );
    assert_eq!(
        wrong(|m| m.pending_tokens[0] = limits::REPORTED_TOKENS + 1),
        "pending_tokens"
    );
}

#[test]
fn names_and_addresses_are_checked() {
    let change = |change: fn(&mut Table)| {
        let mut table = table();
        change(&mut table);
        field(&Table::decode(&table.encode()).expect_err("must be refused"))
    };
    assert_eq!(change(|table| table.pool.clear()), "pool");
    assert_eq!(change(|table| table.pool = "x".repeat(254)), "pool");
    assert_eq!(change(|table| table.pool.push('\n')), "pool");
    assert_eq!(change(|table| table.adapters[1].push('\u{7}')), "adapters");
    assert_eq!(
        change(|table| table.classes[0].name = "x".repeat(254)),
        "classes"
    );
    assert_eq!(change(|table| table.endpoints[0].zone.push('\r')), "zone");
    for address in [
        "",
        "localhost:8000",
        "10.1.0.10",
        "10.1.0.10:0",
        "10.1.0.10:65536",
        "::1:80",
        " 10.1.0.10:80",
    ] {
        let mut table = table();
        table.endpoints.truncate(1);
        table.endpoints[0].address = address.to_owned();
        let error = Table::decode(&table.encode()).expect_err("must be refused");
        assert!(
            matches!(&error, DecodeError::Text { field: "address", row: 0, value, .. } if value == address)
        );
    }
}

#[test]
fn rows_out_of_order_or_twice_there_are_refused() {
    let change = |change: fn(&mut Table)| {
        let mut table = table();
        change(&mut table);
        Table::decode(&table.encode()).expect_err("must be refused")
    };
    assert_eq!(
        change(|table| table.endpoints.swap(1, 2)),
        DecodeError::Order {
            field: "address",
            row: 2
        }
    );
    let twice = change(|table| table.endpoints[1] = table.endpoints[0].clone());
    assert_eq!(
        twice,
        DecodeError::Order {
            field: "address",
            row: 1
        }
    );
    assert_eq!(
        change(|table| table.adapters.swap(0, 1)),
        DecodeError::Order {
            field: "adapters",
            row: 1
        }
    );
    let resident = change(|table| table.endpoints[0].adapters = Some(vec![1, 0]));
    assert_eq!(
        resident,
        DecodeError::Order {
            field: "adapters",
            row: 0
        }
    );
    let mut report = report();
    report.endpoints.swap(0, 1);
    assert_eq!(
        Report::decode(&report.encode()),
        Err(DecodeError::Order {
            field: "address",
            row: 1
        })
    );
}

#[test]
fn an_arena_must_be_cut_exactly_and_between_characters() {
    let change = |change: fn(&mut wire::Strings)| {
        refused(|message| change(message.adapters.as_mut().expect("adapters")))
    };
    assert!(matches!(
        change(|arena| arena.lengths[1] += 1),
        DecodeError::Range {
            field: "adapters",
            row: 1,
            ..
        }
    ));
    assert!(matches!(
        change(|arena| arena.lengths[1] -= 1),
        DecodeError::Column {
            field: "adapters",
            ..
        }
    ));
    assert!(matches!(
        change(|arena| arena.lengths[0] = u32::MAX),
        DecodeError::Range { .. }
    ));
    let split = change(|arena| {
        *arena = wire::Strings {
            text: "ä".to_owned(),
            lengths: vec![1, 1],
        }
    });
    assert!(matches!(
        split,
        DecodeError::Range {
            field: "adapters",
            row: 0,
            ..
        }
    ));
}

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

#[test]
fn a_wild_signal_is_written_as_absent_or_clamped_and_the_table_stays_readable() {
    let mut wild = table();
    wild.demand.arrival_rate = Some(f32::NAN);
    wild.demand.adapter_load_s = Some(-1.0);
    wild.classes[0].speed = Some(0.0);
    wild.classes[0].prefill_tokens_per_s = Some(f32::INFINITY);
    wild.endpoints[0].kv_used = Some(7.0);
    wild.endpoints[0].waiting = Some(u32::MAX);
    wild.endpoints[1].kv_used = Some(f32::NAN);
    let read = Table::decode(&wild.encode()).expect("readable");
    assert_eq!(
        (read.demand.arrival_rate, read.demand.adapter_load_s),
        (None, None)
    );
    assert_eq!(
        (read.classes[0].speed, read.classes[0].prefill_tokens_per_s),
        (None, None)
    );
    assert_eq!(
        (read.endpoints[0].kv_used, read.endpoints[1].kv_used),
        (Some(1.0), None)
    );
    assert_eq!(read.endpoints[0].waiting, Some(limits::ROW_VALUE));
}

#[test]
fn a_hostile_name_does_not_fill_the_log() {
    let mut table = table();
    table.pool = "x".repeat(100_000);
    let text = Table::decode(&table.encode())
        .expect_err("must be refused")
        .to_string();
    assert!(text.len() < 300, "{} bytes", text.len());
}
