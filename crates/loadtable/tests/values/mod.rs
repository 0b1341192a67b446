//! Tables and reports of every kind that a writer may hold.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;
use trimtab_loadtable::{
    Class, Demand, Doubt, Endpoint, EndpointReport, Hot, Moved, PrefixCount, Probe, Report, Role,
    Seen, State, Table, Version, limits,
};

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9äß/_.-]{1,20}"
}

fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        (any::<[u8; 4]>(), 1..=u16::MAX)
            .prop_map(|(ip, port)| format!("{}:{port}", std::net::Ipv4Addr::from(ip))),
        (any::<[u8; 16]>(), 1..=u16::MAX)
            .prop_map(|(ip, port)| format!("[{}]:{port}", std::net::Ipv6Addr::from(ip))),
    ]
}

fn count() -> impl Strategy<Value = Option<u32>> {
    of(prop_oneof![0..300_u32, 0..=limits::ROW_VALUE])
}

fn class() -> impl Strategy<Value = Class> {
    (
        prop_oneof![Just(String::new()), name()],
        of(1e-3_f32..1e6),
        of(0.0_f32..10.0),
        of(0.1_f32..50.0),
    )
        .prop_map(
            |(name, prefill_tokens_per_s, decode_s_per_sequence, speed)| Class {
                name,
                prefill_tokens_per_s,
                decode_s_per_sequence,
                speed,
            },
        )
}

fn demand() -> impl Strategy<Value = Demand> {
    (
        of(0.0_f32..1e6),
        of(0.0_f32..1e5),
        of(0.0_f32..1e5),
        of(0.0_f32..1e5),
        of(0.0_f32..60.0),
    )
        .prop_map(
            |(arrival_rate, prompt_tokens, uncached_tokens, output_tokens, adapter_load_s)| {
                Demand {
                    arrival_rate,
                    prompt_tokens,
                    uncached_tokens,
                    output_tokens,
                    adapter_load_s,
                }
            },
        )
}

fn endpoint(address: String, classes: usize, adapters: usize) -> impl Strategy<Value = Endpoint> {
    let fixed = (
        prop_oneof![Just(Role::Both), Just(Role::Prefill), Just(Role::Decode)],
        prop_oneof![
            Just(State::Ready),
            Just(State::Draining),
            Just(State::Suspect)
        ],
        of(0..classes.max(1) as u16).prop_map(move |class| class.filter(|_| classes > 0)),
        prop_oneof![Just(String::new()), name()],
        (count(), of(1..=64_u32), count()),
    );
    let load = (
        any::<u32>(),
        count(),
        count(),
        count(),
        of(0..=254_u8),
        of(any::<bool>()),
        count(),
        count(),
        of(any::<bool>()),
        of((0..Doubt::ALL.len()).prop_map(|doubt| Doubt::ALL[doubt])),
    );
    let resident = of(btree_set(0..adapters.max(1) as u16, 0..5)).prop_map(move |set| {
        set.map(|set| {
            set.into_iter()
                .filter(|index| usize::from(*index) < adapters)
                .collect()
        })
    });
    let measured = (count(), count(), count(), count());
    (fixed, load, resident, measured).prop_map(move |(fixed, load, adapters, measured)| Endpoint {
        address: address.clone(),
        role: fixed.0,
        state: fixed.1,
        doubt: load.9,
        class: fixed.2,
        age_ms: load.0,
        wait_ms: load.1,
        waiting: load.2,
        running: load.3,
        kv_used: load.4.map(|steps| f32::from(steps) / 254.0),
        prefill_busy: load.5,
        adapter_room: load.8,
        in_flight: load.6,
        pending_tokens: load.7,
        kv_blocks: fixed.4.0,
        kv_block_tokens: fixed.4.1,
        batch_limit: fixed.4.2,
        ends_per_1000_s: measured.0,
        found_permille: measured.1,
        prefill_permille: measured.2,
        decode_permille: measured.3,
        adapters,
        zone: fixed.3.into(),
    })
}

fn moved() -> impl Strategy<Value = Moved> {
    any::<(u64, u16)>().prop_map(|(key, endpoint)| Moved { key, endpoint })
}

/// Returns the same with indices into a list of `endpoints`.
fn within(moved: &[Moved], endpoints: usize) -> Vec<Moved> {
    let place = |moved: &Moved| Moved {
        endpoint: (usize::from(moved.endpoint) % endpoints.max(1)) as u16,
        ..*moved
    };
    let some = moved
        .iter()
        .take(if endpoints > 0 { moved.len() } else { 0 });
    some.map(place).collect()
}

/// What endpoints hold, in the order of keys.
fn held() -> impl Strategy<Value = Vec<Moved>> {
    btree_map(any::<u64>(), any::<u16>(), 0..5).prop_map(|held| {
        let one = |(key, endpoint)| Moved { key, endpoint };
        held.into_iter().map(one).collect()
    })
}

/// Probes by proxy, as (row, number).
fn probes() -> impl Strategy<Value = BTreeMap<u64, (u16, u64)>> {
    btree_map(any::<u64>(), (any::<u16>(), 1..=u64::MAX), 0..5)
}

/// Returns the probes with indices into a list of `endpoints`.
fn tried_out(probes: &BTreeMap<u64, (u16, u64)>, endpoints: usize) -> Vec<Probe> {
    let probe = |(proxy, (row, number)): (&u64, &(u16, u64))| Probe {
        proxy: *proxy,
        endpoint: (usize::from(*row) % endpoints.max(1)) as u16,
        number: *number,
    };
    let some = probes.iter().take(if endpoints > 0 { 5 } else { 0 });
    some.map(probe).collect()
}

fn heat() -> impl Strategy<Value = Vec<Hot>> {
    btree_map(any::<u64>(), 1..=limits::WHOLE_PPM, 0..5).prop_map(|heat| {
        let hot = |(key, share_ppm)| Hot { key, share_ppm };
        heat.into_iter().map(hot).collect()
    })
}

pub(crate) fn table() -> impl Strategy<Value = Table> {
    let header = (
        name(),
        any::<u64>(),
        1..=u64::MAX,
        any::<u32>(),
        of(any::<u32>()),
        any::<[u8; 16]>(),
    );
    let parts = (
        header,
        demand(),
        vec(class(), 0..4),
        btree_set(name(), 0..6),
        btree_set(address(), 0..20),
        of(heat()),
        (of(vec(moved(), 0..5)), probes(), held()),
    );
    parts.prop_flat_map(
        |(header, demand, classes, adapters, addresses, heat, (moved, probes, held))| {
            let addresses_count = addresses.len();
            let (of_classes, of_adapters) = (classes.len(), adapters.len());
            let rows: Vec<_> = addresses
                .into_iter()
                .map(|a| endpoint(a, of_classes, of_adapters))
                .collect();
            rows.prop_map(move |endpoints| Table {
                pool: header.0.clone(),
                version: Version {
                    epoch: header.1,
                    sequence: header.2,
                },
                age_ms: header.3,
                deciders: header.4,
                placement_key: header.5,
                demand,
                classes: classes.clone(),
                adapters: adapters.iter().cloned().collect(),
                endpoints,
                heat: heat.clone(),
                moved: moved.as_deref().map(|moved| within(moved, addresses_count)),
                probes: tried_out(&probes, addresses_count),
                held: within(&held, addresses_count),
            })
        },
    )
}

pub(crate) fn report() -> impl Strategy<Value = Report> {
    let row = |address: String| {
        let bounded = (
            0..=limits::REPORTED_IN_FLIGHT,
            0..=limits::REPORTED_TOKENS,
            0..=limits::REPORTED_IN_FLIGHT,
        );
        let seen = btree_map(0..128_u8, 1..=limits::SEEN_COUNT, 0..6);
        (bounded, any::<[u64; 5]>(), seen).prop_map(
            move |((in_flight, pending_tokens, pending), totals, seen)| EndpointReport {
                seen: seen
                    .into_iter()
                    .map(|(kind, count)| Seen { kind, count })
                    .collect(),
                address: address.clone(),
                in_flight,
                pending_tokens,
                sent: totals[0],
                started: totals[1],
                finished: totals[2],
                failed: totals[3],
                sent_tokens: totals[4],
                pending,
            },
        )
    };
    let version = any::<(u64, u64)>().prop_map(|(epoch, sequence)| Version { epoch, sequence });
    let version = (of(version), of(any::<[u8; 16]>()));
    let header = (
        name(),
        any::<u64>(),
        any::<u64>(),
        version,
        0..=limits::WAIT_MS,
        0..=limits::WORKERS,
    );
    let rows = btree_set(address(), 0..20)
        .prop_flat_map(move |set| set.into_iter().map(row).collect::<Vec<_>>());
    let prefix = any::<(u64, u32)>().prop_map(|(key, count)| PrefixCount { key, count });
    let prefixes = vec(prefix, 0..10);
    let lists = (vec(moved(), 0..5), held());
    let parts = (header, any::<u64>(), rows, prefixes, lists);
    parts.prop_map(
        |(header, decided, endpoints, prefixes, (moved, held))| Report {
            prefixes,
            moved: within(&moved, endpoints.len()),
            held: within(&held, endpoints.len()),
            pool: header.0,
            proxy: header.1,
            sequence: header.2,
            have: header.3.0,
            placement_key: header.3.1,
            wait_ms: header.4,
            workers: header.5,
            decided,
            endpoints,
        },
    )
}
