//! Numbers by placement key.

use super::narrow;
use crate::{DecodeError, Hot, Moved, PrefixCount, Probe, limits, wire};

/// Returns keys with their values, one each and at most `limit`.
fn keyed<'a>(
    field: &'static str,
    message: &'a wire::Keyed,
    limit: usize,
) -> Result<impl Iterator<Item = (u64, u32)> + 'a, DecodeError> {
    let (keys, values) = (&message.keys, &message.values);
    if keys.len() > limit {
        return Err(DecodeError::TooMany {
            field,
            found: keys.len(),
            limit,
        });
    }
    if keys.len() != values.len() {
        return Err(DecodeError::Column {
            field,
            found: values.len(),
            expected: keys.len(),
        });
    }
    Ok(keys.iter().copied().zip(values.iter().copied()))
}

pub(super) fn heat(message: &wire::Keyed) -> Result<Vec<Hot>, DecodeError> {
    let keyed = keyed("heat", message, limits::HOT_PREFIXES)?;
    Ok(keyed
        .map(|(key, share_ppm)| Hot { key, share_ppm })
        .collect())
}

pub(super) fn moved(message: &wire::Keyed) -> Result<Vec<Moved>, DecodeError> {
    placed("moved", message, limits::MOVED)
}

/// Reads what endpoints hold.
///
/// - `limit`: most entries of a table, or of a report.
pub(super) fn held(message: Option<&wire::Keyed>, limit: usize) -> Result<Vec<Moved>, DecodeError> {
    message.map_or(Ok(Vec::new()), |message| placed("held", message, limit))
}

fn placed(
    field: &'static str,
    message: &wire::Keyed,
    limit: usize,
) -> Result<Vec<Moved>, DecodeError> {
    keyed(field, message, limit)?
        .enumerate()
        .map(|(row, (key, endpoint))| {
            let endpoint = narrow(field, row, endpoint)?;
            Ok(Moved { key, endpoint })
        })
        .collect()
}

pub(super) fn prefixes(message: &wire::Keyed) -> Result<Vec<PrefixCount>, DecodeError> {
    let keyed = keyed("prefixes", message, limits::REPORTED_PREFIXES)?;
    Ok(keyed
        .map(|(key, count)| PrefixCount { key, count })
        .collect())
}

pub(super) fn probes(message: &wire::Probes) -> Result<Vec<Probe>, DecodeError> {
    let wire::Probes {
        proxies,
        rows,
        numbers,
    } = message;
    let field = "probes";
    if proxies.len() > limits::PROBES {
        return Err(DecodeError::TooMany {
            field,
            found: proxies.len(),
            limit: limits::PROBES,
        });
    }
    for found in [rows.len(), numbers.len()] {
        if found != proxies.len() {
            return Err(DecodeError::Column {
                field,
                found,
                expected: proxies.len(),
            });
        }
    }
    let columns = proxies.iter().zip(rows).zip(numbers).enumerate();
    columns
        .map(|(row, ((proxy, endpoint), number))| {
            Ok(Probe {
                proxy: *proxy,
                endpoint: narrow(field, row, *endpoint)?,
                number: *number,
            })
        })
        .collect()
}
