//! `loadtable.proto` describes what the crate writes: a reader that has only this file sees the
//! same values and writes the same bytes.

#![allow(clippy::expect_used, reason = "helpers of tests")]

mod values;

use std::sync::LazyLock;

use proptest::prelude::*;
use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage, Value};

static PROTO: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let folder = env!("CARGO_MANIFEST_DIR");
    let files = protox::compile(["loadtable.proto"], [folder]).expect("loadtable.proto compiles");
    DescriptorPool::from_file_descriptor_set(files).expect("loadtable.proto links")
});

/// Reads `bytes` as the message `name` of the .proto file. The file must have every field.
fn read(name: &str, bytes: &[u8]) -> DynamicMessage {
    let descriptor = PROTO
        .get_message_by_name(&format!("trimtab.loadtable.v1.{name}"))
        .expect("message");
    let message =
        DynamicMessage::decode(descriptor, bytes).expect("the .proto file reads our bytes");
    assert_known(&message);
    message
}

fn assert_known(message: &DynamicMessage) {
    let unknown: Vec<_> = message.unknown_fields().collect();
    assert!(
        unknown.is_empty(),
        "{}: {unknown:?} are not in the .proto file",
        message.descriptor().name()
    );
    for (_, value) in message.fields() {
        if let Value::Message(inner) = value {
            assert_known(inner);
        }
    }
}

/// Returns the value at a path of field names.
fn at(message: &DynamicMessage, path: &[&str]) -> Value {
    let [last] = path else {
        let inner = message
            .get_field_by_name(path[0])
            .expect("field")
            .into_owned();
        return at(inner.as_message().expect("message"), &path[1..]);
    };
    message.get_field_by_name(last).expect("field").into_owned()
}

/// Returns the strings of an arena.
fn strings(arena: &Value) -> Vec<String> {
    let arena = arena.as_message().expect("message");
    let (text, lengths) = (at(arena, &["text"]), numbers(&at(arena, &["lengths"])));
    let mut rest = text.as_str().expect("text");
    let cut = |length: u64| {
        let (string, after) = rest.split_at(length as usize);
        rest = after;
        string.to_owned()
    };
    lengths.into_iter().map(cut).collect()
}

fn numbers(column: &Value) -> Vec<u64> {
    let number = |value: &Value| {
        value
            .as_u32()
            .map(u64::from)
            .or_else(|| value.as_u64())
            .expect("number")
    };
    column
        .as_list()
        .expect("column")
        .iter()
        .map(number)
        .collect()
}

/// Returns row `row` of an absent-able column.
fn optional(column: &Value, row: usize) -> Option<u32> {
    let column = numbers(column);
    let row = if column.len() == 1 { 0 } else { row };
    column
        .get(row)
        .and_then(|value| value.checked_sub(1))
        .map(|value| value as u32)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_table_reads_the_same_through_the_proto_file(table in values::table()) {
        let bytes = table.encode();
        let message = read("Table", &bytes);
        prop_assert_eq!(message.encode_to_vec(), bytes);
        let pool = at(&message, &["pool"]);
        prop_assert_eq!(pool.as_str(), Some(table.pool.as_str()));
        prop_assert_eq!(at(&message, &["epoch"]).as_u64(), Some(table.version.epoch));
        prop_assert_eq!(at(&message, &["sequence"]).as_u64(), Some(table.version.sequence));
        prop_assert_eq!(message.has_field_by_name("deciders"), table.deciders.is_some());
        prop_assert_eq!(at(&message, &["demand", "arrival_rate"]).as_f32(), Some(table.demand.arrival_rate.unwrap_or(0.0)));
        prop_assert_eq!(strings(&at(&message, &["adapters"])), table.adapters);
        let addresses: Vec<&str> = table.endpoints.iter().map(|endpoint| endpoint.address.as_str()).collect();
        prop_assert_eq!(strings(&at(&message, &["fleet", "addresses"])), addresses);
        for (row, endpoint) in table.endpoints.iter().enumerate() {
            let column = |part: &str, name: &str| optional(&at(&message, &[part, name]), row);
            prop_assert_eq!(column("fleet", "class"), endpoint.class.map(u32::from));
            prop_assert_eq!(column("fleet", "kv_blocks"), endpoint.kv_blocks);
            prop_assert_eq!(column("fleet", "kv_block_tokens"), endpoint.kv_block_tokens);
            prop_assert_eq!(column("fleet", "batch_limit"), endpoint.batch_limit);
            prop_assert_eq!(column("load", "wait_ms"), endpoint.wait_ms);
            prop_assert_eq!(column("load", "waiting"), endpoint.waiting);
            prop_assert_eq!(column("load", "running"), endpoint.running);
            prop_assert_eq!(column("load", "in_flight"), endpoint.in_flight);
            prop_assert_eq!(column("load", "pending_tokens"), endpoint.pending_tokens);
        }
    }

    #[test]
    fn a_report_reads_the_same_through_the_proto_file(report in values::report()) {
        let bytes = report.encode();
        let message = read("Report", &bytes);
        prop_assert_eq!(message.encode_to_vec(), bytes);
        prop_assert_eq!(at(&message, &["proxy"]).as_u64(), Some(report.proxy));
        prop_assert_eq!(at(&message, &["decided"]).as_u64(), Some(report.decided));
        prop_assert_eq!(message.has_field_by_name("have"), report.have.is_some());
        for (name, value) in [
            ("sent", (|row| row.sent) as fn(&trimtab_loadtable::EndpointReport) -> u64),
            ("started", |row| row.started),
            ("finished", |row| row.finished),
            ("failed", |row| row.failed),
            ("in_flight", |row| u64::from(row.in_flight)),
            ("pending_tokens", |row| u64::from(row.pending_tokens)),
        ] {
            let expected: Vec<u64> = report.endpoints.iter().map(value).collect();
            let found = numbers(&at(&message, &[name]));
            let shown: Vec<u64> = match found.as_slice() {
                [] => vec![0; expected.len()],
                [all] => vec![*all; expected.len()],
                rows => rows.to_vec(),
            };
            prop_assert_eq!(shown, expected, "{}", name);
        }
        let seen = (0..).zip(&report.endpoints).flat_map(|(row, endpoint)| {
            let place = move |one: &trimtab_loadtable::Seen| row * 128 + u64::from(one.kind);
            endpoint.seen.iter().map(place)
        });
        let seen: Vec<u64> = seen.collect();
        if !seen.is_empty() {
            prop_assert_eq!(numbers(&at(&message, &["seen_kinds"])), seen);
        }
    }
}

#[test]
fn flags_ratios_and_resident_adapters_are_as_the_comments_of_the_proto_file_say() {
    let message = read("Table", include_bytes!("golden/table-1.pb"));
    // Ready, busy, no room. Draining and not busy. Suspect, without the other two signals.
    assert_eq!(
        at(&message, &["load", "flags"])
            .as_bytes()
            .map(|bytes| bytes.to_vec()),
        Some(vec![0b01_10_00, 0b01_01, 0b00_10])
    );
    // Half, empty, absent.
    assert_eq!(
        at(&message, &["load", "kv_used"])
            .as_bytes()
            .map(|bytes| bytes.to_vec()),
        Some(vec![128, 1, 0])
    );
    assert_eq!(
        numbers(&at(&message, &["load", "adapter_counts"])),
        [3, 1, 0]
    );
    assert_eq!(numbers(&at(&message, &["load", "adapters"])), [0, 1]);
    assert_eq!(
        at(&message, &["fleet", "roles"])
            .as_bytes()
            .map(|bytes| bytes.to_vec()),
        Some(vec![0, 2, 1])
    );
    assert_eq!(
        strings(&at(&message, &["fleet", "zones"])),
        ["eu-west-1a", "eu-west-1b"]
    );
    assert_eq!(numbers(&at(&message, &["fleet", "zone"])), [1, 0, 2]);
}
