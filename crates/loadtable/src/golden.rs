//! One table and one report whose bytes never change while the format is 1. Older and newer builds,
//! other languages and the wasm build agree on them.
//!
//! After a deliberate addition: `TRIMTAB_BLESS=1 cargo test -p trimtab-loadtable --lib golden`.
//! Then read the diff.

use crate::{
    Class, Demand, Doubt, Endpoint, EndpointReport, Hot, Moved, PrefixCount, Probe, Report, Role,
    Seen, State, Table, Version,
};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const TABLE: &[u8] = include_bytes!("../tests/golden/table-1.pb");
const REPORT: &[u8] = include_bytes!("../tests/golden/report-1.pb");

/// A table with every field present in some row and absent in another.
pub(crate) fn table() -> Table {
    Table {
        pool: "llama-8b".to_owned(),
        version: Version {
            epoch: 0x0123_4567_89ab_cdef,
            sequence: 42,
        },
        age_ms: 15,
        deciders: Some(12),
        demand: Demand {
            arrival_rate: Some(212.5),
            prompt_tokens: Some(2_075.0),
            uncached_tokens: Some(830.0),
            output_tokens: Some(155.25),
            adapter_load_s: None,
        },
        placement_key: *b"0123456789abcdef",
        classes: vec![
            Class {
                name: "a100-80g".to_owned(),
                prefill_tokens_per_s: Some(11_000.0),
                decode_s_per_sequence: Some(0.005),
                speed: Some(1.0),
            },
            Class {
                name: String::new(),
                speed: Some(2.5),
                ..Class::default()
            },
        ],
        adapters: vec!["sql-lora".to_owned(), "tweets".to_owned()],
        endpoints: vec![
            Endpoint {
                address: "10.1.0.10:8000".to_owned(),
                class: Some(0),
                age_ms: 120,
                wait_ms: Some(340),
                waiting: Some(2),
                running: Some(57),
                kv_used: Some(127.0 / 254.0),
                prefill_busy: Some(true),
                adapter_room: Some(false),
                in_flight: Some(61),
                pending_tokens: Some(5_200),
                kv_blocks: Some(25_000),
                kv_block_tokens: Some(16),
                batch_limit: Some(256),
                adapters: Some(vec![0, 1]),
                zone: "eu-west-1a".into(),
                ..Endpoint::default()
            },
            Endpoint {
                address: "10.1.0.9:8000".to_owned(),
                role: Role::Decode,
                state: State::Draining,
                class: Some(1),
                wait_ms: Some(0),
                waiting: Some(0),
                running: Some(0),
                kv_used: Some(0.0),
                prefill_busy: Some(false),
                adapters: Some(Vec::new()),
                ..Endpoint::default()
            },
            Endpoint {
                address: "[2001:db8::7]:8000".to_owned(),
                role: Role::Prefill,
                state: State::Suspect,
                doubt: Some(Doubt::Unreadable),
                age_ms: 45_000,
                zone: "eu-west-1b".into(),
                ..Endpoint::default()
            },
        ],
        heat: Some(vec![
            Hot {
                key: 0x0102_0304_0506_0708,
                share_ppm: 31_250,
            },
            Hot {
                key: u64::MAX,
                share_ppm: 1_000_000,
            },
        ]),
        moved: Some(vec![Moved {
            key: 0x1111_2222_3333_4444,
            endpoint: 1,
        }]),
        probes: vec![Probe {
            proxy: 0xfeed_0000_0000_0001,
            endpoint: 2,
            number: 3,
        }],
        held: vec![Moved {
            key: 0x5555_6666_7777_8888,
            endpoint: 0,
        }],
    }
}

pub(crate) fn report() -> Report {
    Report {
        pool: "llama-8b".to_owned(),
        proxy: 0xfeed_0000_0000_0001,
        sequence: 7,
        have: Some(Version {
            epoch: 0x0123_4567_89ab_cdef,
            sequence: 41,
        }),
        placement_key: Some(*b"0123456789abcdef"),
        wait_ms: 1_000,
        workers: 2,
        decided: 1_234,
        endpoints: vec![
            EndpointReport {
                address: "10.1.0.10:8000".to_owned(),
                in_flight: 5,
                pending_tokens: 900,
                pending: 3,
                sent: 700,
                sent_tokens: 350_000,
                started: 697,
                finished: 695,
                failed: 1,
                seen: vec![
                    Seen { kind: 9, count: 2 },
                    Seen {
                        kind: 64,
                        count: 170,
                    },
                    Seen { kind: 67, count: 1 },
                    Seen {
                        kind: 71,
                        count: 150,
                    },
                    Seen {
                        kind: 72,
                        count: 170,
                    },
                    Seen {
                        kind: 73,
                        count: 20,
                    },
                    Seen {
                        kind: 100,
                        count: 2,
                    },
                ],
            },
            EndpointReport {
                address: "10.1.0.9:8000".to_owned(),
                sent: 3,
                finished: 3,
                seen: vec![Seen { kind: 40, count: 3 }],
                ..EndpointReport::default()
            },
        ],
        prefixes: vec![PrefixCount {
            key: 0xfedc_ba98_7654_3210,
            count: 17,
        }],
        moved: vec![Moved {
            key: 0x5555_6666_7777_8888,
            endpoint: 0,
        }],
        held: vec![Moved {
            key: 0x9999_aaaa_bbbb_cccc,
            endpoint: 0,
        }],
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn blessed(name: &str, bytes: &[u8]) -> bool {
    let bless = std::env::var_os("TRIMTAB_BLESS").is_some();
    if bless {
        let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, bytes).expect("cannot write the golden file");
    }
    bless
}

#[cfg(target_arch = "wasm32")]
fn blessed(_: &str, _: &[u8]) -> bool {
    false
}

#[test]
fn the_table_has_the_same_bytes_in_every_build() {
    if blessed("table-1.pb", &table().encode()) {
        return;
    }
    assert_eq!(table().encode(), TABLE);
    assert_eq!(Table::decode(TABLE), Ok(table()));
}

#[test]
fn the_report_has_the_same_bytes_in_every_build() {
    if blessed("report-1.pb", &report().encode()) {
        return;
    }
    assert_eq!(report().encode(), REPORT);
    assert_eq!(Report::decode(REPORT), Ok(report()));
}

#[test]
fn fields_of_a_later_writer_are_skipped() {
    // Field 100, two bytes long, behind everything. Field 101, a varint, before everything but the
    // format.
    let later = [
        &TABLE[..2],
        &[0xa8, 0x06, 0x05],
        &TABLE[2..],
        &[0xa2, 0x06, 0x02, 0x68, 0x69],
    ]
    .concat();
    assert_eq!(Table::decode(&later), Ok(table()));
}

#[cfg(feature = "json")]
#[test]
fn people_read_names_and_no_secret() {
    let json = serde_json::to_value(crate::json::TableView::from(&table()))
        .expect("a view is always JSON");
    let first = &json["endpoints"][0];
    assert_eq!(first["class"], "a100-80g");
    assert_eq!(first["adapters"], serde_json::json!(["sql-lora", "tweets"]));
    assert_eq!(first["kv_used_percent"], 50.0);
    assert_eq!(first["kv_tokens"], 400_000);
    assert_eq!(json["endpoints"][2]["state"], "suspect");
    assert!(
        json["endpoints"][2].get("wait_ms").is_none(),
        "absent is not zero"
    );
    assert_eq!(json["epoch"], "0123456789abcdef");
    let text = json.to_string();
    assert!(
        !text.contains("placement")
            && !text.contains("30313233")
            && !text.contains("0123456789abcdef0")
    );
    let report = serde_json::to_value(crate::json::ReportView::from(&report()))
        .expect("a view is always JSON");
    assert_eq!(report["endpoints"][0]["started"], 697);
    let text = report.to_string();
    assert!(!text.contains("placement") && !text.contains("30313233"));
}

#[cfg(feature = "snapshot")]
#[test]
fn row_i_of_the_table_is_index_i_of_the_snapshot() {
    use trimtab_pick::{Millis, State as PickState};
    let table = table();
    let snapshot = crate::snapshot(&table, Millis(9_000));
    assert_eq!(snapshot.endpoints().len(), 3);
    for (row, endpoint) in table.endpoints.iter().enumerate() {
        let id = crate::endpoint_id(&table.placement_key, &endpoint.address);
        assert_eq!(snapshot.index_of(id), u32::try_from(row).ok());
    }
    let [first, draining, suspect] = snapshot.endpoints() else {
        panic!("three rows")
    };
    assert_eq!((first.wait_s, first.age_ms), (Some(0.34), 135));
    let columns = (first.waiting, first.running, first.kv_used);
    assert_eq!(columns, (Some(2), Some(57), Some(0.5)));
    assert_eq!((draining.kv_used, suspect.kv_used), (Some(0.0), None));
    assert_eq!(
        (first.prefill_tokens_per_s, first.speed),
        (Some(11_000.0), Some(1.0))
    );
    assert_eq!(
        (draining.state, draining.wait_s, draining.speed),
        (PickState::NoPrompts, Some(0.0), Some(2.5))
    );
    assert_eq!(
        (suspect.state, suspect.wait_s, suspect.speed),
        (PickState::NoPrompts, None, None)
    );
    // The table is as old as its youngest row was when it came.
    assert_eq!(snapshot.age_ms(Millis(9_100)), 115);
}

/// SipHash-1-3 as its paper defines it (Aumasson and Bernstein 2012), for short messages.
#[cfg(feature = "snapshot")]
fn siphash_1_3(key: &[u8; 16], message: &[u8]) -> u64 {
    fn round(v: &mut [u64; 4]) {
        v[0] = v[0].wrapping_add(v[1]);
        v[2] = v[2].wrapping_add(v[3]);
        v[1] = v[1].rotate_left(13) ^ v[0];
        v[3] = v[3].rotate_left(16) ^ v[2];
        v[0] = v[0].rotate_left(32);
        v[2] = v[2].wrapping_add(v[1]);
        v[0] = v[0].wrapping_add(v[3]);
        v[1] = v[1].rotate_left(17) ^ v[2];
        v[3] = v[3].rotate_left(21) ^ v[0];
        v[2] = v[2].rotate_left(32);
    }
    let word = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0_u64, |word, byte| word << 8 | u64::from(*byte))
    };
    let (k0, k1) = (word(&key[..8]), word(&key[8..]));
    let mut v = [
        0x736f_6d65_7073_6575,
        0x646f_7261_6e64_6f6d,
        0x6c79_6765_6e65_7261,
        0x7465_6462_7974_6573,
    ];
    (v[0], v[1], v[2], v[3]) = (v[0] ^ k0, v[1] ^ k1, v[2] ^ k0, v[3] ^ k1);
    let (whole, rest) = message.as_chunks::<8>();
    let last = word(rest) | (message.len() as u64) << 56;
    for word in whole
        .iter()
        .map(|bytes| u64::from_le_bytes(*bytes))
        .chain([last])
    {
        v[3] ^= word;
        round(&mut v);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    (0..3).for_each(|_| round(&mut v));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

#[cfg(feature = "snapshot")]
#[test]
fn identities_are_siphash_1_3_of_the_address_under_the_pools_key() {
    for key in [[0; 16], *b"0123456789abcdef"] {
        for address in ["10.1.0.9:8000", "[2001:db8::7]:8000", "1.1.1.1:1"] {
            assert_eq!(
                crate::endpoint_id(&key, address).0,
                siphash_1_3(&key, address.as_bytes())
            );
        }
    }
}
