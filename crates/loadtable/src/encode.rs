//! Encodes values to bytes.

use prost::Message;

use crate::check::{valid_cost_s, valid_rate, valid_speed};
use crate::columns::{write_floats, write_optional, write_plain, write_ratio, write_strings};
use crate::seen::KINDS;
use crate::{
    Class, Demand, Doubt, Endpoint, Moved, Probe, Report, Role, State, Table, limits, wire,
};

impl Table {
    /// Returns the bytes of this table. Never fails.
    ///
    /// A number that no reader would accept (not finite, out of range) is written as absent, or
    /// clamped. One wild signal must not cost the whole pool its table. The caller is responsible
    /// for order, uniqueness, names and sizes: [`Table::check`] says whether a reader would take
    /// the result.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let message = wire::Table {
            format: wire::FORMAT,
            pool: self.pool.clone(),
            epoch: self.version.epoch,
            sequence: self.version.sequence,
            age_ms: self.age_ms,
            deciders: self.deciders,
            placement_key: self.placement_key.to_vec(),
            demand: demand(&self.demand),
            classes: Some(classes(&self.classes)),
            adapters: Some(write_strings(self.adapters.iter().map(String::as_str))),
            fleet: Some(fleet(&self.endpoints)),
            load: Some(load(self)),
        };
        message.encode_to_vec()
    }
}

impl Report {
    /// Returns the bytes of this report. Never fails.
    ///
    /// `wait_ms`, `workers` and the numbers in flight and pending are clamped to their [`limits`].
    /// As with [`Table::encode`], the caller is responsible for the rest: see [`Report::check`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let rows = &self.endpoints;
        let seen = || {
            (0_u32..)
                .zip(rows)
                .flat_map(|(row, endpoint)| endpoint.seen.iter().map(move |one| (row, one)))
        };
        let message = wire::Report {
            format: wire::FORMAT,
            pool: self.pool.clone(),
            proxy: self.proxy,
            sequence: self.sequence,
            have: self.have.map(|have| wire::Version {
                epoch: have.epoch,
                sequence: have.sequence,
            }),
            wait_ms: self.wait_ms.min(limits::WAIT_MS),
            workers: self.workers.min(limits::WORKERS),
            decided: self.decided,
            addresses: Some(write_strings(rows.iter().map(|row| row.address.as_str()))),
            in_flight: write_plain(
                rows.iter()
                    .map(|row| row.in_flight.min(limits::REPORTED_IN_FLIGHT)),
            ),
            pending_tokens: write_plain(
                rows.iter()
                    .map(|row| row.pending_tokens.min(limits::REPORTED_TOKENS)),
            ),
            sent: write_plain(rows.iter().map(|row| row.sent)),
            started: write_plain(rows.iter().map(|row| row.started)),
            finished: write_plain(rows.iter().map(|row| row.finished)),
            failed: write_plain(rows.iter().map(|row| row.failed)),
            sent_tokens: write_plain(rows.iter().map(|row| row.sent_tokens)),
            pending: write_plain(
                rows.iter()
                    .map(|row| row.pending.min(limits::REPORTED_IN_FLIGHT)),
            ),
            prefixes: (!self.prefixes.is_empty()).then(|| wire::Keyed {
                keys: self.prefixes.iter().map(|prefix| prefix.key).collect(),
                values: self.prefixes.iter().map(|prefix| prefix.count).collect(),
            }),
            moved: (!self.moved.is_empty()).then(|| moved(&self.moved)),
            seen_kinds: seen()
                .map(|(row, one)| row * KINDS + u32::from(one.kind))
                .collect(),
            seen_counts: seen().map(|(_, one)| one.count).collect(),
            held: (!self.held.is_empty()).then(|| moved(&self.held)),
            placement_key: self.placement_key.map_or(Vec::new(), |key| key.to_vec()),
        };
        message.encode_to_vec()
    }
}

fn moved(moved: &[Moved]) -> wire::Keyed {
    wire::Keyed {
        keys: moved.iter().map(|moved| moved.key).collect(),
        values: moved.iter().map(|moved| moved.endpoint.into()).collect(),
    }
}

fn probes(probes: &[Probe]) -> wire::Probes {
    wire::Probes {
        proxies: probes.iter().map(|probe| probe.proxy).collect(),
        rows: probes.iter().map(|probe| probe.endpoint.into()).collect(),
        numbers: probes.iter().map(|probe| probe.number).collect(),
    }
}

fn doubt(doubt: Doubt) -> u8 {
    match doubt {
        Doubt::Unreachable => 1,
        Doubt::Unreadable => 2,
        Doubt::Stalled => 3,
        Doubt::Asleep => 4,
        Doubt::Late => 5,
    }
}

fn demand(demand: &Demand) -> Option<wire::Demand> {
    Some(wire::Demand {
        arrival_rate: demand.arrival_rate.filter(|v| valid_rate(*v)),
        prompt_tokens: demand.prompt_tokens.filter(|v| valid_rate(*v)),
        uncached_tokens: demand.uncached_tokens.filter(|v| valid_rate(*v)),
        output_tokens: demand.output_tokens.filter(|v| valid_rate(*v)),
        adapter_load_s: demand.adapter_load_s.filter(|v| valid_cost_s(*v)),
    })
}

fn classes(classes: &[Class]) -> wire::Classes {
    wire::Classes {
        names: Some(write_strings(
            classes.iter().map(|class| class.name.as_str()),
        )),
        prefill_tokens_per_s: write_floats(
            classes.iter().map(|class| class.prefill_tokens_per_s),
            valid_speed,
        ),
        decode_s_per_sequence: write_floats(
            classes.iter().map(|class| class.decode_s_per_sequence),
            valid_cost_s,
        ),
        speed: write_floats(classes.iter().map(|class| class.speed), valid_speed),
    }
}

fn fleet(rows: &[Endpoint]) -> wire::Fleet {
    let mut zones: Vec<&str> = rows
        .iter()
        .map(|row| &*row.zone)
        .filter(|zone| !zone.is_empty())
        .collect();
    zones.sort_unstable();
    zones.dedup();
    let zone = |row: &Endpoint| match zones.binary_search(&&*row.zone) {
        Ok(index) => u32::try_from(index + 1).unwrap_or(0),
        Err(_) => 0,
    };
    wire::Fleet {
        addresses: Some(write_strings(rows.iter().map(|row| row.address.as_str()))),
        roles: write_plain(rows.iter().map(|row| role(row.role))),
        class: write_optional(rows.iter().map(|row| row.class.map(u32::from))),
        kv_blocks: write_optional(rows.iter().map(|row| row.kv_blocks)),
        kv_block_tokens: write_optional(rows.iter().map(|row| row.kv_block_tokens)),
        batch_limit: write_optional(rows.iter().map(|row| row.batch_limit)),
        zone: write_plain(rows.iter().map(zone)),
        zones: Some(write_strings(zones.iter().copied())),
    }
}

fn load(table: &Table) -> wire::Load {
    let rows = &table.endpoints;
    let resident = |row: &Endpoint| {
        row.adapters
            .as_ref()
            .map(|list| u32::try_from(list.len()).unwrap_or(u32::MAX))
    };
    wire::Load {
        flags: write_plain(rows.iter().map(flags)),
        age_ms: write_plain(rows.iter().map(|row| row.age_ms)),
        wait_ms: write_optional(rows.iter().map(|row| row.wait_ms)),
        waiting: write_optional(rows.iter().map(|row| row.waiting)),
        running: write_optional(rows.iter().map(|row| row.running)),
        kv_used: write_plain(rows.iter().map(|row| write_ratio(row.kv_used))),
        in_flight: write_optional(rows.iter().map(|row| row.in_flight)),
        pending_tokens: write_optional(rows.iter().map(|row| row.pending_tokens)),
        adapter_counts: write_optional(rows.iter().map(resident)),
        adapters: rows
            .iter()
            .flat_map(|row| row.adapters.iter().flatten())
            .map(|index| u32::from(*index))
            .collect(),
        heat: table.heat.as_deref().map(|heat| wire::Keyed {
            keys: heat.iter().map(|hot| hot.key).collect(),
            values: heat.iter().map(|hot| hot.share_ppm).collect(),
        }),
        moved: table.moved.as_deref().map(moved),
        ends_per_1000_s: write_optional(rows.iter().map(|row| row.ends_per_1000_s)),
        found_permille: write_optional(rows.iter().map(|row| row.found_permille)),
        prefill_permille: write_optional(rows.iter().map(|row| row.prefill_permille)),
        decode_permille: write_optional(rows.iter().map(|row| row.decode_permille)),
        doubts: write_plain(rows.iter().map(|row| row.doubt.map_or(0, doubt))),
        probes: (!table.probes.is_empty()).then(|| probes(&table.probes)),
        held: (!table.held.is_empty()).then(|| moved(&table.held)),
    }
}

fn role(role: Role) -> u8 {
    match role {
        Role::Both => 0,
        Role::Prefill => 1,
        Role::Decode => 2,
    }
}

/// Packs a row's flags. Bits 0-1: state. Bits 2-3: prefill busy, and bits 4-5: room for an adapter
/// (0 absent, 1 no, 2 yes).
fn flags(row: &Endpoint) -> u8 {
    let state = match row.state {
        State::Ready => 0,
        State::Draining => 1,
        State::Suspect => 2,
    };
    let answer = |value: Option<bool>| match value {
        None => 0,
        Some(false) => 1,
        Some(true) => 2,
    };
    state | answer(row.prefill_busy) << 2 | answer(row.adapter_room) << 4
}
