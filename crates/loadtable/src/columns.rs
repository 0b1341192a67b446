//! How single columns stand on the wire: absent values, columns of defaults, and strings in an
//! arena.

use crate::wire::Strings;
use crate::{DecodeError, limits};

/// Writes an absent-able column as value + 1, with 0 for absent.
pub(crate) fn write_optional(values: impl Iterator<Item = Option<u32>>) -> Vec<u32> {
    write_plain(values.map(|value| value.map_or(0, |value| value.min(limits::ROW_VALUE) + 1)))
}

/// Writes a column: nothing if every row has the default, one value if every row has the same, else
/// all.
pub(crate) fn write_plain<T: Default + PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut column: Vec<T> = values.collect();
    let Some(first) = column.first() else {
        return column;
    };
    if column.iter().all(|value| value == first) {
        let keep = usize::from(*first != T::default());
        column.truncate(keep);
    }
    column
}

/// Writes an absent-able column of floats, with a number below 0 for absent.
///
/// - `valid`: whether the reader would accept a value. A value that it would refuse becomes absent,
///   because a wild fit must not make the whole table unreadable.
pub(crate) fn write_floats(
    values: impl Iterator<Item = Option<f32>>,
    valid: fn(f32) -> bool,
) -> Vec<f32> {
    let column: Vec<f32> = values
        .map(|value| value.filter(|v| valid(*v)).unwrap_or(-1.0))
        .collect();
    if column.iter().all(|value| *value < 0.0) {
        Vec::new()
    } else {
        column
    }
}

/// A column as read: one value per row, or a single value for every row. An empty column means the
/// default in every row.
#[derive(Clone, Copy)]
pub(crate) struct Column<'a, T>(&'a [T]);

impl<'a, T: Copy + Default> Column<'a, T> {
    /// Refuses a column of any other length than 0, 1 or `rows`.
    pub(crate) fn new(
        field: &'static str,
        values: &'a [T],
        rows: usize,
    ) -> Result<Self, DecodeError> {
        if values.len() <= 1 || values.len() == rows {
            Ok(Self(values))
        } else {
            Err(DecodeError::Column {
                field,
                found: values.len(),
                expected: rows,
            })
        }
    }

    /// Returns the value of `row`. `None` only if the column is empty.
    fn value(self, row: usize) -> Option<T> {
        match self.0 {
            [single] => Some(*single),
            values => values.get(row).copied(),
        }
    }

    /// Returns the value of `row`, or the default.
    pub(crate) fn get(self, row: usize) -> T {
        self.value(row).unwrap_or_default()
    }
}

impl Column<'_, u32> {
    /// Returns the value of `row` of a column that [`write_optional`] wrote.
    pub(crate) fn optional(self, row: usize) -> Option<u32> {
        self.get(row).checked_sub(1)
    }
}

impl Column<'_, f32> {
    /// Returns the value of `row` of a column that [`write_floats`] wrote. Returns NaN too, which
    /// the range check refuses.
    pub(crate) fn optional(self, row: usize) -> Option<f32> {
        self.value(row)
            .filter(|value| value.is_nan() || *value >= 0.0)
    }
}

/// Writes strings one behind the other.
pub(crate) fn write_strings<'a>(strings: impl Iterator<Item = &'a str>) -> Strings {
    let mut arena = Strings::default();
    for string in strings {
        arena.text.push_str(string);
        arena
            .lengths
            .push(u32::try_from(string.len()).unwrap_or(u32::MAX));
    }
    arena
}

/// Reads an arena of at most `limit` strings. The lengths must cut the text exactly and between
/// characters.
pub(crate) fn read_strings<'a>(
    field: &'static str,
    arena: Option<&'a Strings>,
    limit: usize,
) -> Result<Vec<&'a str>, DecodeError> {
    let Some(arena) = arena else {
        return Ok(Vec::new());
    };
    if arena.lengths.len() > limit {
        return Err(DecodeError::TooMany {
            field,
            found: arena.lengths.len(),
            limit,
        });
    }
    let mut rest = arena.text.as_str();
    let mut strings = Vec::with_capacity(arena.lengths.len());
    for (row, length) in arena.lengths.iter().enumerate() {
        let cut = usize::try_from(*length)
            .ok()
            .and_then(|length| rest.split_at_checked(length));
        let Some((string, after)) = cut else {
            return Err(DecodeError::Range {
                field,
                row,
                value: format!("{length} bytes long"),
                expected: "lengths that cut the text between characters",
            });
        };
        strings.push(string);
        rest = after;
    }
    if rest.is_empty() {
        Ok(strings)
    } else {
        Err(DecodeError::Column {
            field,
            found: arena.text.len(),
            expected: arena.text.len() - rest.len(),
        })
    }
}

/// Writes a ratio of 0..=1 in one byte: 0 is absent, 1 is 0.0, 255 is 1.0. A step is 0.4 %, less
/// than a scrape's noise.
pub(crate) fn write_ratio(ratio: Option<f32>) -> u8 {
    match ratio {
        // The cast truncates towards zero after rounding by + 0.5. The clamp keeps the result in
        // 0..=254.
        Some(ratio) if !ratio.is_nan() => {
            ((ratio.clamp(0.0, 1.0) * 254.0 + 0.5) as u8).saturating_add(1)
        }
        _ => 0,
    }
}

/// Returns the ratio that [`write_ratio`] wrote.
pub(crate) fn read_ratio(byte: u8) -> Option<f32> {
    let steps = byte.checked_sub(1)?;
    RATIOS.get(usize::from(steps)).copied()
}

/// All ratios, divided in advance. A division per row would take the largest part of reading a row.
const RATIOS: [f32; 255] = {
    let mut ratios = [0.0; 255];
    let mut steps = 0;
    while steps < ratios.len() {
        ratios[steps] = steps as f32 / 254.0;
        steps += 1;
    }
    ratios
};
