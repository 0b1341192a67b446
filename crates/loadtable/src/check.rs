//! What a table and a report must satisfy. Both sides use the same checks: a writer can ask before
//! it publishes, and a reader always does.

mod address;

use std::sync::Arc;

use address::address;

use crate::{Class, DecodeError, Endpoint, Hot, Moved, Probe, Report, Table, limits};

const NAME: &str = "1 to 253 bytes without control characters";
const OPTIONAL_NAME: &str = "at most 253 bytes without control characters";

/// A rate or a mean: finite and not negative.
pub(crate) fn valid_rate(value: f32) -> bool {
    (0.0..=limits::RATE).contains(&value)
}

/// A speed: finite and above zero, because it is a divisor.
pub(crate) fn valid_speed(value: f32) -> bool {
    value > 0.0 && value <= limits::RATE
}

/// Seconds that one unit of work costs: finite and not negative.
pub(crate) fn valid_cost_s(value: f32) -> bool {
    (0.0..=limits::COST_S).contains(&value)
}

impl Table {
    /// Checks whether a reader would accept this table.
    ///
    /// # Errors
    /// The first violation, with field, row and value.
    pub fn check(&self) -> Result<(), DecodeError> {
        name("pool", 0, &self.pool, 1, NAME)?;
        if self.version.sequence == 0 {
            return Err(DecodeError::number("sequence", 0, 0.0, "1 or more"));
        }
        self.check_demand()?;
        at_most("classes", self.classes.len(), limits::CLASSES)?;
        self.classes
            .iter()
            .enumerate()
            .try_for_each(|(row, class)| check_class(row, class))?;
        at_most("adapters", self.adapters.len(), limits::ADAPTERS)?;
        for (row, adapter) in self.adapters.iter().enumerate() {
            name("adapters", row, adapter, 1, NAME)?;
        }
        ascending("adapters", &self.adapters, |adapter| adapter)?;
        at_most("endpoints", self.endpoints.len(), limits::ENDPOINTS)?;
        let mut zone: Option<&Arc<str>> = None;
        for (row, endpoint) in self.endpoints.iter().enumerate() {
            self.check_endpoint(row, endpoint)?;
            // Rows share their zones. Neighbours with the same zone need one check.
            if zone.is_none_or(|zone| !Arc::ptr_eq(zone, &endpoint.zone)) {
                name("zone", row, &endpoint.zone, 0, OPTIONAL_NAME)?;
            }
            zone = Some(&endpoint.zone);
        }
        ascending("address", &self.endpoints, |endpoint| &endpoint.address)?;
        self.heat.as_deref().map_or(Ok(()), check_heat)?;
        let moved = self.moved.as_deref().unwrap_or_default();
        check_moved(moved, self.endpoints.len())?;
        check_probes(&self.probes, self.endpoints.len())?;
        check_held(&self.held, limits::HELD, self.endpoints.len())
    }

    fn check_demand(&self) -> Result<(), DecodeError> {
        let demand = &self.demand;
        optional(
            "arrival_rate",
            0,
            demand.arrival_rate,
            valid_rate,
            "0 to 1e9 per second",
        )?;
        for (name, tokens) in [
            ("prompt_tokens", demand.prompt_tokens),
            ("uncached_tokens", demand.uncached_tokens),
            ("output_tokens", demand.output_tokens),
        ] {
            optional(name, 0, tokens, valid_rate, "0 to 1e9 tokens")?;
        }
        optional(
            "adapter_load_s",
            0,
            demand.adapter_load_s,
            valid_cost_s,
            "0 to 3600 seconds",
        )
    }

    fn check_endpoint(&self, row: usize, endpoint: &Endpoint) -> Result<(), DecodeError> {
        address(row, &endpoint.address)?;
        if let Some(class) = endpoint
            .class
            .filter(|class| usize::from(*class) >= self.classes.len())
        {
            return Err(DecodeError::number(
                "class",
                row,
                f64::from(class),
                "an index into the list of classes",
            ));
        }
        optional(
            "kv_used",
            row,
            endpoint.kv_used,
            |ratio| (0.0..=1.0).contains(&ratio),
            "0 to 1",
        )?;
        if endpoint.kv_block_tokens == Some(0) {
            return Err(DecodeError::number(
                "kv_block_tokens",
                row,
                0.0,
                "1 or more",
            ));
        }
        let Some(adapters) = &endpoint.adapters else {
            return Ok(());
        };
        if let Some(index) = adapters
            .iter()
            .find(|index| usize::from(**index) >= self.adapters.len())
        {
            return Err(DecodeError::number(
                "adapters",
                row,
                f64::from(*index),
                "an index into the list of adapters",
            ));
        }
        if adapters.is_sorted_by(|a, b| a < b) {
            Ok(())
        } else {
            Err(DecodeError::Order {
                field: "adapters",
                row,
            })
        }
    }
}

impl Report {
    /// Checks whether an aggregator would accept this report.
    ///
    /// # Errors
    /// The first violation, with field, row and value.
    pub fn check(&self) -> Result<(), DecodeError> {
        name("pool", 0, &self.pool, 1, NAME)?;
        bounded(
            "wait_ms",
            0,
            self.wait_ms,
            limits::WAIT_MS,
            "at most 60000 milliseconds",
        )?;
        bounded(
            "workers",
            0,
            self.workers,
            limits::WORKERS,
            "at most 4096 workers",
        )?;
        at_most("endpoints", self.endpoints.len(), limits::ENDPOINTS)?;
        for (row, endpoint) in self.endpoints.iter().enumerate() {
            address(row, &endpoint.address)?;
            bounded(
                "in_flight",
                row,
                endpoint.in_flight,
                limits::REPORTED_IN_FLIGHT,
                "at most 1000000 requests",
            )?;
            let tokens = endpoint.pending_tokens;
            bounded(
                "pending_tokens",
                row,
                tokens,
                limits::REPORTED_TOKENS,
                "at most 1000000000 tokens",
            )?;
            bounded(
                "pending",
                row,
                endpoint.pending,
                limits::REPORTED_IN_FLIGHT,
                "at most 1000000 requests",
            )?;
        }
        at_most("prefixes", self.prefixes.len(), limits::REPORTED_PREFIXES)?;
        ascending("address", &self.endpoints, |endpoint| &endpoint.address)?;
        check_moved(&self.moved, self.endpoints.len())?;
        check_held(&self.held, limits::REPORTED_HELD, self.endpoints.len())?;
        crate::seen::check(
            self.endpoints
                .iter()
                .map(|endpoint| endpoint.seen.as_slice()),
        )
    }
}

fn check_moved(moved: &[Moved], endpoints: usize) -> Result<(), DecodeError> {
    at_most("moved", moved.len(), limits::MOVED)?;
    let rows = moved.iter().map(|moved| moved.endpoint);
    inside("moved", rows, endpoints)
}

fn check_held(held: &[Moved], limit: usize, endpoints: usize) -> Result<(), DecodeError> {
    at_most("held", held.len(), limit)?;
    inside("held", held.iter().map(|held| held.endpoint), endpoints)?;
    rising("held", held, |held| held.key)
}

fn check_probes(probes: &[Probe], endpoints: usize) -> Result<(), DecodeError> {
    at_most("probes", probes.len(), limits::PROBES)?;
    inside(
        "probes",
        probes.iter().map(|probe| probe.endpoint),
        endpoints,
    )?;
    if let Some(row) = probes.iter().position(|probe| probe.number == 0) {
        return Err(DecodeError::number(
            "probes",
            row,
            0.0,
            "a number of 1 or more",
        ));
    }
    rising("probes", probes, |probe| probe.proxy)
}

/// Checks indices into the list of endpoints.
fn inside(
    field: &'static str,
    mut rows: impl Iterator<Item = u16>,
    endpoints: usize,
) -> Result<(), DecodeError> {
    let outside = |row: &u16| usize::from(*row) >= endpoints;
    let found = rows.by_ref().enumerate().find(|(_, row)| outside(row));
    found.map_or(Ok(()), |(row, index)| {
        let expected = "an index into the list of endpoints";
        Err(DecodeError::number(field, row, f64::from(index), expected))
    })
}

/// Checks that keys ascend and that each occurs once.
fn rising<T>(field: &'static str, rows: &[T], key: impl Fn(&T) -> u64) -> Result<(), DecodeError> {
    let unordered = rows.windows(2).position(|pair| match pair {
        [before, after] => key(before) >= key(after),
        _ => false,
    });
    unordered.map_or(Ok(()), |row| {
        let row = row + 1;
        Err(DecodeError::Order { field, row })
    })
}

fn check_heat(heat: &[Hot]) -> Result<(), DecodeError> {
    at_most("heat", heat.len(), limits::HOT_PREFIXES)?;
    for (row, hot) in heat.iter().enumerate() {
        if !(1..=limits::WHOLE_PPM).contains(&hot.share_ppm) {
            let share = f64::from(hot.share_ppm);
            return Err(DecodeError::number(
                "heat",
                row,
                share,
                "1 to 1000000 parts per million",
            ));
        }
    }
    rising("heat", heat, |hot| hot.key)
}

fn check_class(row: usize, class: &Class) -> Result<(), DecodeError> {
    name("classes", row, &class.name, 0, OPTIONAL_NAME)?;
    optional(
        "prefill_tokens_per_s",
        row,
        class.prefill_tokens_per_s,
        valid_speed,
        "above 0, at most 1e9",
    )?;
    optional(
        "decode_s_per_sequence",
        row,
        class.decode_s_per_sequence,
        valid_cost_s,
        "0 to 3600 seconds",
    )?;
    optional(
        "speed",
        row,
        class.speed,
        valid_speed,
        "above 0, at most 1e9",
    )
}

fn optional(
    field: &'static str,
    row: usize,
    value: Option<f32>,
    valid: impl Fn(f32) -> bool,
    expected: &'static str,
) -> Result<(), DecodeError> {
    match value {
        Some(value) if !valid(value) => {
            Err(DecodeError::number(field, row, f64::from(value), expected))
        }
        _ => Ok(()),
    }
}

fn bounded(
    field: &'static str,
    row: usize,
    value: u32,
    limit: u32,
    expected: &'static str,
) -> Result<(), DecodeError> {
    if value <= limit {
        Ok(())
    } else {
        Err(DecodeError::number(field, row, f64::from(value), expected))
    }
}

fn at_most(field: &'static str, found: usize, limit: usize) -> Result<(), DecodeError> {
    if found <= limit {
        Ok(())
    } else {
        Err(DecodeError::TooMany {
            field,
            found,
            limit,
        })
    }
}

/// Checks a name. Control characters are refused because names end up in logs, metric labels and
/// terminals.
fn name(
    field: &'static str,
    row: usize,
    text: &str,
    least: usize,
    expected: &'static str,
) -> Result<(), DecodeError> {
    let length = least..=limits::NAME_BYTES;
    if length.contains(&text.len()) && !text.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(DecodeError::text(field, row, text, expected))
    }
}

fn ascending<T>(
    field: &'static str,
    rows: &[T],
    key: impl Fn(&T) -> &String,
) -> Result<(), DecodeError> {
    for (row, pair) in rows.windows(2).enumerate() {
        if let [before, after] = pair
            && !is_below(key(before).as_bytes(), key(after).as_bytes())
        {
            return Err(DecodeError::Order {
                field,
                row: row + 1,
            });
        }
    }
    Ok(())
}

/// Returns whether `before < after`. Compares eight bytes at a time: neighbours in a list often
/// begin with the same bytes, and wasm has no fast `memcmp`.
fn is_below(before: &[u8], after: &[u8]) -> bool {
    let pairs = before
        .as_chunks::<8>()
        .0
        .iter()
        .zip(after.as_chunks::<8>().0);
    let mut at = 0;
    for (one, other) in pairs {
        if one != other {
            return u64::from_be_bytes(*one) < u64::from_be_bytes(*other);
        }
        at += 8;
    }
    before.get(at..) < after.get(at..)
}
