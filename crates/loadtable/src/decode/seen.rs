//! Decodes what was seen at endpoints. On the wire row and kind are one number.

use crate::seen::{KINDS, Seen};
use crate::{DecodeError, EndpointReport, limits, wire};

/// Hands what was seen out to the rows.
pub(super) fn hand_out(
    message: &wire::Report,
    rows: &mut [EndpointReport],
) -> Result<(), DecodeError> {
    let (kinds, counts) = (&message.seen_kinds, &message.seen_counts);
    if kinds.len() > limits::SEEN {
        return Err(DecodeError::TooMany {
            field: "seen",
            found: kinds.len(),
            limit: limits::SEEN,
        });
    }
    if kinds.len() != counts.len() {
        return Err(DecodeError::Column {
            field: "seen",
            found: counts.len(),
            expected: kinds.len(),
        });
    }
    for (place, count) in kinds.iter().zip(counts) {
        let row = usize::try_from(place / KINDS).unwrap_or(usize::MAX);
        let Some(row) = rows.get_mut(row) else {
            return Err(super::range("seen", row, *place, "a row of the report"));
        };
        row.seen.push(Seen {
            // Less than 128.
            kind: (place % KINDS) as u8,
            count: *count,
        });
    }
    Ok(())
}
