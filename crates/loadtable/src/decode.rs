//! Decodes bytes to checked values.

mod keyed;
mod seen;
mod values;

use std::sync::Arc;

use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint};

use keyed::{heat, held, moved, prefixes, probes};
use values::{answer, named_zone, narrow, range, role, state};

use crate::columns::{Column, read_ratio, read_strings};
use crate::{
    Class, DecodeError, Demand, Doubt, Endpoint, EndpointReport, Report, Table, Version, limits,
    wire,
};

impl Table {
    /// Reads a table.
    ///
    /// # Errors
    /// Says what is wrong and where. The caller keeps the table that it had. Memory stays below
    /// about eight times `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        check_envelope(bytes, limits::TABLE_BYTES)?;
        let message = wire::Table::decode(bytes)
            .map_err(|error| DecodeError::Malformed(error.to_string()))?;
        let (Some(fleet), Some(load)) = (&message.fleet, &message.load) else {
            // Writers always send both, and `load` last. Without it the message was cut between two
            // fields. Reading that as a table without signals would throw away a better table.
            return Err(DecodeError::Malformed(
                "cut short: `fleet` or `load` is missing".to_owned(),
            ));
        };
        let table = Self {
            version: Version {
                epoch: message.epoch,
                sequence: message.sequence,
            },
            age_ms: message.age_ms,
            deciders: message.deciders,
            demand: demand(message.demand),
            placement_key: placement_key(&message.placement_key)?,
            classes: classes(&message.classes.unwrap_or_default())?,
            adapters: owned(read_strings(
                "adapters",
                message.adapters.as_ref(),
                limits::ADAPTERS,
            )?),
            endpoints: endpoints(fleet, load)?,
            heat: load.heat.as_ref().map(heat).transpose()?,
            moved: load.moved.as_ref().map(moved).transpose()?,
            probes: load.probes.as_ref().map_or(Ok(Vec::new()), probes)?,
            held: held(load.held.as_ref(), limits::HELD)?,
            pool: message.pool,
        };
        table.check()?;
        Ok(table)
    }
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// Says what is wrong and where. Memory stays below about eight times `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        check_envelope(bytes, limits::REPORT_BYTES)?;
        let message = wire::Report::decode(bytes)
            .map_err(|error| DecodeError::Malformed(error.to_string()))?;
        let report = Self {
            endpoints: reported(&message)?,
            prefixes: message.prefixes.as_ref().map_or(Ok(Vec::new()), prefixes)?,
            moved: message.moved.as_ref().map_or(Ok(Vec::new()), moved)?,
            held: held(message.held.as_ref(), limits::REPORTED_HELD)?,
            pool: message.pool,
            proxy: message.proxy,
            sequence: message.sequence,
            have: message.have.map(|have| Version {
                epoch: have.epoch,
                sequence: have.sequence,
            }),
            placement_key: (!message.placement_key.is_empty())
                .then(|| placement_key(&message.placement_key))
                .transpose()?,
            wait_ms: message.wait_ms,
            workers: message.workers,
            decided: message.decided,
        };
        report.check()?;
        Ok(report)
    }
}

/// Checks size and format before anything is allocated.
///
/// The format is read by hand, because a newer format may give other types to the fields behind it.
/// The operator should read "newer format", and not "bad wire type".
fn check_envelope(bytes: &[u8], limit: usize) -> Result<(), DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::TooLarge {
            bytes: bytes.len(),
            limit,
        });
    }
    let mut rest = bytes;
    let format = match decode_key(&mut rest) {
        Ok((1, WireType::Varint)) => decode_varint(&mut rest).unwrap_or(0),
        _ => 0,
    };
    if format == u64::from(wire::FORMAT) {
        Ok(())
    } else {
        let found = u32::try_from(format).unwrap_or(u32::MAX);
        Err(DecodeError::Format {
            found,
            supported: wire::FORMAT,
        })
    }
}

fn owned(strings: Vec<&str>) -> Vec<String> {
    strings.into_iter().map(str::to_owned).collect()
}

fn demand(message: Option<wire::Demand>) -> Demand {
    let message = message.unwrap_or_default();
    Demand {
        arrival_rate: message.arrival_rate,
        prompt_tokens: message.prompt_tokens,
        uncached_tokens: message.uncached_tokens,
        output_tokens: message.output_tokens,
        adapter_load_s: message.adapter_load_s,
    }
}

fn placement_key(bytes: &[u8]) -> Result<[u8; 16], DecodeError> {
    bytes.try_into().map_err(|_| DecodeError::Range {
        field: "placement_key",
        row: 0,
        value: format!("{} bytes long", bytes.len()),
        expected: "16 bytes",
    })
}

fn classes(message: &wire::Classes) -> Result<Vec<Class>, DecodeError> {
    let names = read_strings("classes", message.names.as_ref(), limits::CLASSES)?;
    let prefill = Column::new(
        "prefill_tokens_per_s",
        &message.prefill_tokens_per_s,
        names.len(),
    )?;
    let decode = Column::new(
        "decode_s_per_sequence",
        &message.decode_s_per_sequence,
        names.len(),
    )?;
    let speed = Column::new("speed", &message.speed, names.len())?;
    let class = |(row, name): (usize, &str)| Class {
        name: name.to_owned(),
        prefill_tokens_per_s: prefill.optional(row),
        decode_s_per_sequence: decode.optional(row),
        speed: speed.optional(row),
    };
    Ok(names.into_iter().enumerate().map(class).collect())
}

fn endpoints(fleet: &wire::Fleet, load: &wire::Load) -> Result<Vec<Endpoint>, DecodeError> {
    let addresses = read_strings("endpoints", fleet.addresses.as_ref(), limits::ENDPOINTS)?;
    let zones = read_strings("zones", fleet.zones.as_ref(), limits::ZONES)?;
    let zones: Vec<Arc<str>> = zones.into_iter().map(Arc::from).collect();
    let no_zone = Arc::default();
    let rows = addresses.len();
    let roles = Column::new("roles", &fleet.roles, rows)?;
    let class = Column::new("class", &fleet.class, rows)?;
    let kv_blocks = Column::new("kv_blocks", &fleet.kv_blocks, rows)?;
    let kv_block_tokens = Column::new("kv_block_tokens", &fleet.kv_block_tokens, rows)?;
    let batch_limit = Column::new("batch_limit", &fleet.batch_limit, rows)?;
    let zone = Column::new("zone", &fleet.zone, rows)?;
    let flags = Column::new("flags", &load.flags, rows)?;
    let age_ms = Column::new("age_ms", &load.age_ms, rows)?;
    let wait_ms = Column::new("wait_ms", &load.wait_ms, rows)?;
    let waiting = Column::new("waiting", &load.waiting, rows)?;
    let running = Column::new("running", &load.running, rows)?;
    let kv_used = Column::new("kv_used", &load.kv_used, rows)?;
    let in_flight = Column::new("in_flight", &load.in_flight, rows)?;
    let pending_tokens = Column::new("pending_tokens", &load.pending_tokens, rows)?;
    let ends_per_1000_s = Column::new("ends_per_1000_s", &load.ends_per_1000_s, rows)?;
    let found_permille = Column::new("found_permille", &load.found_permille, rows)?;
    let prefill_permille = Column::new("prefill_permille", &load.prefill_permille, rows)?;
    let decode_permille = Column::new("decode_permille", &load.decode_permille, rows)?;
    let doubts = Column::new("doubts", &load.doubts, rows)?;
    let mut resident = Resident::new(load, rows)?;
    let mut endpoints = Vec::with_capacity(rows);
    for (row, address) in addresses.into_iter().enumerate() {
        let bits = flags.get(row);
        // Everything that may fail comes first. A row that is built in one step is written where it
        // stays, and not copied there.
        let role = role(row, roles.get(row))?;
        let state = state(row, bits)?;
        let class = match class.optional(row) {
            Some(index) => Some(narrow("class", row, index)?),
            None => None,
        };
        let prefill_busy = answer(row, bits, 2, "bits 2-3: prefill busy: 0, 1 or 2")?;
        let adapter_room = answer(row, bits, 4, "bits 4-5: room for an adapter: 0, 1 or 2")?;
        let adapters = resident.next(row)?;
        let zone = named_zone(row, &zones, zone.get(row))?.unwrap_or(&no_zone);
        endpoints.push(Endpoint {
            address: address.to_owned(),
            role,
            state,
            doubt: Doubt::of(doubts.get(row)),
            class,
            age_ms: age_ms.get(row),
            wait_ms: wait_ms.optional(row),
            waiting: waiting.optional(row),
            running: running.optional(row),
            kv_used: read_ratio(kv_used.get(row)),
            prefill_busy,
            adapter_room,
            in_flight: in_flight.optional(row),
            pending_tokens: pending_tokens.optional(row),
            kv_blocks: kv_blocks.optional(row),
            kv_block_tokens: kv_block_tokens.optional(row),
            batch_limit: batch_limit.optional(row),
            ends_per_1000_s: ends_per_1000_s.optional(row),
            found_permille: found_permille.optional(row),
            prefill_permille: prefill_permille.optional(row),
            decode_permille: decode_permille.optional(row),
            adapters,
            zone: Arc::clone(zone),
        });
    }
    resident.finish()?;
    Ok(endpoints)
}

/// Cuts the flat list of resident adapters into rows.
struct Resident<'a> {
    counts: Column<'a, u32>,
    total: usize,
    rest: &'a [u32],
}

impl<'a> Resident<'a> {
    fn new(load: &'a wire::Load, rows: usize) -> Result<Self, DecodeError> {
        let (found, limit) = (load.adapters.len(), limits::RESIDENT_ADAPTERS);
        if found > limit {
            return Err(DecodeError::TooMany {
                field: "resident adapters",
                found,
                limit,
            });
        }
        let counts = Column::new("adapter_counts", &load.adapter_counts, rows)?;
        Ok(Self {
            counts,
            total: found,
            rest: &load.adapters,
        })
    }

    fn next(&mut self, row: usize) -> Result<Option<Vec<u16>>, DecodeError> {
        let Some(count) = self.counts.optional(row) else {
            return Ok(None);
        };
        let cut = usize::try_from(count)
            .ok()
            .and_then(|count| self.rest.split_at_checked(count));
        let Some((list, rest)) = cut else {
            return Err(range(
                "adapter_counts",
                row,
                count,
                "no more than the adapters that follow",
            ));
        };
        self.rest = rest;
        list.iter()
            .map(|index| narrow("adapters", row, *index))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(DecodeError::Column {
            field: "adapters",
            found: self.total,
            expected: self.total - self.rest.len(),
        })
    }
}

fn reported(message: &wire::Report) -> Result<Vec<EndpointReport>, DecodeError> {
    let addresses = read_strings("endpoints", message.addresses.as_ref(), limits::ENDPOINTS)?;
    let rows = addresses.len();
    let in_flight = Column::new("in_flight", &message.in_flight, rows)?;
    let pending_tokens = Column::new("pending_tokens", &message.pending_tokens, rows)?;
    let sent = Column::new("sent", &message.sent, rows)?;
    let started = Column::new("started", &message.started, rows)?;
    let finished = Column::new("finished", &message.finished, rows)?;
    let failed = Column::new("failed", &message.failed, rows)?;
    let sent_tokens = Column::new("sent_tokens", &message.sent_tokens, rows)?;
    let pending = Column::new("pending", &message.pending, rows)?;
    let row = |(row, address): (usize, &str)| EndpointReport {
        address: address.to_owned(),
        in_flight: in_flight.get(row),
        pending_tokens: pending_tokens.get(row),
        sent: sent.get(row),
        started: started.get(row),
        finished: finished.get(row),
        failed: failed.get(row),
        sent_tokens: sent_tokens.get(row),
        pending: pending.get(row),
        seen: Vec::new(),
    };
    let mut rows: Vec<EndpointReport> = addresses.into_iter().enumerate().map(row).collect();
    seen::hand_out(message, &mut rows)?;
    Ok(rows)
}
