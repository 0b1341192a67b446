//! Numbers by placement key.

use super::narrow;
use crate::{DecodeError, Hot, Moved, PrefixCount, limits, wire};

/// Keys with their values, one each; not more than `limit`.
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
    keyed("moved", message, limits::MOVED)?
        .enumerate()
        .map(|(row, (key, endpoint))| {
            let endpoint = narrow("moved", row, endpoint)?;
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
