//! Columns of a wrong length, and values out of range.

use super::{field, fleet, load, probes, refused, refused_report};
use crate::golden::table;
use crate::{Table, limits, wire};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

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
    assert_eq!(cut(|m| load(m).doubts.truncate(2)), "doubts");
    assert_eq!(cut(|m| probes(m).rows.clear()), "probes");
    assert_eq!(cut(|m| probes(m).numbers.push(4)), "probes");
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
    assert_eq!(wrong(|m| probes(m).rows[0] = 3), "probes");
    assert_eq!(wrong(|m| probes(m).rows[0] = 70_000), "probes");
    assert_eq!(wrong(|m| probes(m).numbers[0] = 0), "probes");
    let twice = |m: &mut wire::Table| {
        probes(m).proxies.push(1);
        probes(m).rows.push(0);
        probes(m).numbers.push(4);
    };
    assert_eq!(wrong(twice), "probes", "not in the order of proxies");
    let held = |change: fn(&mut wire::Keyed)| {
        let change = |m: &mut wire::Table| change(load(m).held.as_mut().expect("held"));
        field(&refused(change))
    };
    assert_eq!(held(|held| held.values[0] = 3), "held");
    assert_eq!(held(|held| held.values.push(0)), "held");
    let same = |held: &mut wire::Keyed| {
        held.keys.push(held.keys[0]);
        held.values.push(0);
    };
    assert_eq!(held(same), "held", "twice");
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
        wrong(|m| m.demand.as_mut().expect("demand").prompt_tokens = Some(2e9)),
        "prompt_tokens"
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
    assert_eq!(wrong(|m| m.placement_key.push(0)), "placement_key");
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
fn what_was_seen_must_be_in_order_within_bounds_and_of_a_row() {
    let wrong = |change: fn(&mut wire::Report)| {
        let error = refused_report(change);
        field(&error)
    };
    for (found, why) in [
        (wrong(|m| m.seen_kinds[3] = 2 * 128), "no such row"),
        (wrong(|m| m.seen_kinds[3] = u32::MAX), "no such row"),
        (wrong(|m| m.seen_counts[0] = 0), "none"),
        (
            wrong(|m| m.seen_counts[0] = limits::SEEN_COUNT + 1),
            "too many",
        ),
        (wrong(|m| m.seen_kinds.swap(0, 1)), "order"),
        (wrong(|m| m.seen_kinds[1] = m.seen_kinds[0]), "twice"),
        (wrong(|m| m.seen_counts.truncate(1)), "a count is missing"),
        (
            wrong(|m| {
                m.seen_kinds = (0..=limits::SEEN as u32).collect();
                m.seen_counts = vec![1; limits::SEEN + 1];
            }),
            "too long",
        ),
    ] {
        assert_eq!(found, "seen", "{why}");
    }
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
