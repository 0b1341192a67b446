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
}
