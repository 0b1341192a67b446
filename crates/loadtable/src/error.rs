//! Why bytes or values are refused.

/// Why a table or a report is refused. The reader keeps what it had before.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// More bytes than any valid message has.
    #[error("{bytes} bytes, at most {limit} are accepted")]
    TooLarge {
        /// Size of the input.
        bytes: usize,
        /// [`limits::TABLE_BYTES`](crate::limits::TABLE_BYTES) or
        /// [`limits::REPORT_BYTES`](crate::limits::REPORT_BYTES).
        limit: usize,
    },
    /// The sender uses another format. Update the older side (docs/wire.md#compatibility).
    #[error(
        "format {found} is not supported, this reader knows format {supported}; update the older of the two sides"
    )]
    Format {
        /// The format of the message, or 0 when it does not begin with a format.
        found: u32,
        /// The format that this build reads.
        supported: u32,
    },
    /// Not Protocol Buffers of the expected shape, or cut short.
    #[error("not a valid message: {0}")]
    Malformed(String),
    /// A column is neither as long as there are rows, nor has one value, nor is empty.
    #[error(
        "column `{field}` has {found} values for {expected} rows; expected as many, one or none"
    )]
    Column {
        /// The column.
        field: &'static str,
        /// Its length.
        found: usize,
        /// Number of rows.
        expected: usize,
    },
    /// More of something than is accepted.
    #[error("{found} {field}, at most {limit} are accepted")]
    TooMany {
        /// What there is too much of.
        field: &'static str,
        /// How many there are.
        found: usize,
        /// How many are accepted.
        limit: usize,
    },
    /// A value outside its documented range.
    #[error("`{field}` of row {row} is {value}, expected {expected}")]
    Range {
        /// The column or header field.
        field: &'static str,
        /// The row, 0 for a header field.
        row: usize,
        /// The value as text.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// A name or address that is empty, too long, or not text of the required form.
    #[error("`{field}` of row {row} is {value:?}, expected {expected}")]
    Text {
        /// The column or header field.
        field: &'static str,
        /// The row, 0 for a header field.
        row: usize,
        /// The text, cut to 64 characters.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// Rows that are not in ascending order, or that occur twice.
    #[error(
        "`{field}` of row {row} is not greater than that of the row before; sort and remove duplicates"
    )]
    Order {
        /// The column.
        field: &'static str,
        /// The second of the two rows.
        row: usize,
    },
}

impl DecodeError {
    /// Returns a short label for metrics, in lower case with underscores.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::Format { .. } => "format",
            Self::Malformed(_) => "malformed",
            Self::Column { .. } => "column",
            Self::TooMany { .. } => "too_many",
            Self::Range { .. } => "range",
            Self::Text { .. } => "text",
            Self::Order { .. } => "order",
        }
    }

    /// Returns a [`DecodeError::Text`] with a value that is cut, so that a hostile name cannot fill
    /// a log.
    #[cold]
    pub(crate) fn text(
        field: &'static str,
        row: usize,
        value: &str,
        expected: &'static str,
    ) -> Self {
        Self::Text {
            field,
            row,
            value: value.chars().take(64).collect(),
            expected,
        }
    }
    /// Returns a [`DecodeError::Range`]. Out of line, so that the checks are small enough to be
    /// inlined into the loop over rows.
    #[cold]
    pub(crate) fn number(
        field: &'static str,
        row: usize,
        value: f64,
        expected: &'static str,
    ) -> Self {
        Self::Range {
            field,
            row,
            value: shown(value),
            expected,
        }
    }
}

/// Returns a number as text for people, with three decimals where it has a fraction.
///
/// Rejected: the formatting of fractions in `core`. It takes 7 KB of the filter, which nothing else
/// there needs.
fn shown(value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "" };
    // `as` saturates, so more than that is shown as the largest whole number.
    let whole = value.abs() as u64;
    let fraction = value.abs() - whole as f64;
    let thousandths = if fraction < 1.0 {
        (fraction * 1_000.0) as u64
    } else {
        0
    };
    match thousandths {
        _ if !value.is_finite() => [sign, if value.is_nan() { "NaN" } else { "inf" }].concat(),
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{thousandths:03}"),
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn numbers_are_shown_with_at_most_three_decimals() {
        for (value, text) in [
            (0.0, "0"),
            (-1.0, "-1"),
            (1_000_001.0, "1000001"),
            (1.5, "1.500"),
            (-0.062_5, "-0.062"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (1e300, "18446744073709551615"),
        ] {
            assert_eq!(shown(value), text);
        }
    }
}
