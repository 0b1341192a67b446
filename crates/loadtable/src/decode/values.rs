//! Single values of rows, checked.

use std::sync::Arc;

use crate::{DecodeError, Role, State};

/// Makes an error out of line, so that the checks are small enough to be inlined into the loop over
/// rows.
#[cold]
pub(super) fn range(
    field: &'static str,
    row: usize,
    value: u32,
    expected: &'static str,
) -> DecodeError {
    DecodeError::Range {
        field,
        row,
        value: value.to_string(),
        expected,
    }
}

pub(super) fn narrow(field: &'static str, row: usize, index: u32) -> Result<u16, DecodeError> {
    u16::try_from(index).map_err(|_| range(field, row, index, "an index below 65536"))
}

pub(super) fn role(row: usize, byte: u8) -> Result<Role, DecodeError> {
    match byte {
        0 => Ok(Role::Both),
        1 => Ok(Role::Prefill),
        2 => Ok(Role::Decode),
        _ => Err(range(
            "roles",
            row,
            u32::from(byte),
            "0 (both), 1 (prefill) or 2 (decode)",
        )),
    }
}

/// Reads bits 0-1 of the flags. Bits 6-7 are not read, so that a later writer may use them.
pub(super) fn state(row: usize, bits: u8) -> Result<State, DecodeError> {
    match bits & 3 {
        0 => Ok(State::Ready),
        1 => Ok(State::Draining),
        2 => Ok(State::Suspect),
        _ => Err(range(
            "flags",
            row,
            u32::from(bits),
            "bits 0-1: 0 (ready), 1 (draining) or 2 (suspect)",
        )),
    }
}

/// Reads a yes or no at bits `shift` and `shift + 1` of the flags.
pub(super) fn answer(
    row: usize,
    bits: u8,
    shift: u32,
    expected: &'static str,
) -> Result<Option<bool>, DecodeError> {
    match bits >> shift & 3 {
        0 => Ok(None),
        1 => Ok(Some(false)),
        2 => Ok(Some(true)),
        _ => Err(range("flags", row, u32::from(bits), expected)),
    }
}

/// Returns the zone at `index` - 1, or `None` for index 0.
pub(super) fn named_zone(
    row: usize,
    zones: &[Arc<str>],
    index: u32,
) -> Result<Option<&Arc<str>>, DecodeError> {
    let Some(position) = index.checked_sub(1) else {
        return Ok(None);
    };
    match usize::try_from(position).ok().and_then(|at| zones.get(at)) {
        Some(zone) => Ok(Some(zone)),
        None => Err(range(
            "zone",
            row,
            index,
            "0 (none) or a position in the list of zones",
        )),
    }
}
