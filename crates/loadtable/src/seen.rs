//! What a proxy saw at an endpoint: times, errors by kind, and how wrong the predicted times to the
//! first byte were.
//!
//! Times are kept in sketches. A sketch is a histogram of fixed buckets, two per power of two. So
//! any quantile is known to a fifth of itself, sketches of all proxies can be added up, and an
//! empty bucket costs nothing.

use crate::{DecodeError, limits};

/// Upper bounds of the buckets, inclusive, in milliseconds: `4 * sqrt(2)^i`, rounded. The last
/// bucket has no bound.
pub const BOUNDS_MS: [u32; BUCKETS - 1] = [
    4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256, 362, 512, 724, 1_024, 1_448, 2_048, 2_896,
    4_096, 5_793, 8_192, 11_585, 16_384, 23_170, 32_768, 46_341, 65_536, 92_682, 131_072,
];
/// Buckets of a sketch.
pub const BUCKETS: usize = 32;

/// One thing that was seen, and how often since the report before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// What was seen: one of the constants, or an [`ErrorKind`]. Readers skip unknown kinds.
    pub kind: u8,
    /// How often, or how many milliseconds. 1 to [`limits::SEEN_COUNT`].
    pub count: u32,
}

/// First of the [`BUCKETS`] kinds of a sketch: times from placement to the first byte of the
/// answer's body.
pub const FIRST_BYTE: u8 = 0;
/// First of the [`BUCKETS`] kinds of a sketch: times from placement to the end of a whole answer.
pub const END: u8 = 32;
/// Sum of the times to the first byte, in milliseconds.
pub const FIRST_BYTE_SUM_MS: u8 = 64;
/// Sum of the times to the end, in milliseconds.
pub const END_SUM_MS: u8 = 65;
/// Sum of the predicted times to the first byte, in milliseconds.
///
/// This kind and the next two count streamed answers that came from where their requests were
/// placed, and that had a prediction.
pub const PREDICTED_SUM_MS: u8 = 71;
/// Sum of the times that these really took, in milliseconds.
pub const PREDICTED_SEEN_SUM_MS: u8 = 72;
/// Sum of the differences between the two, without their signs, in milliseconds.
pub const PREDICTION_ERROR_SUM_MS: u8 = 73;
/// First of the [`BUCKETS`] kinds of a sketch: these differences.
pub const PREDICTION_ERROR: u8 = 96;
/// Kinds per row of a report on the wire.
pub(crate) const KINDS: u32 = 128;

/// How a request went wrong at an endpoint. The value is the kind of its [`Seen`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ErrorKind {
    /// The endpoint could not be reached.
    ConnectFailure = 66,
    /// The answer broke off, or did not come in time.
    Reset = 67,
    /// The answer was a 5xx.
    ServerError = 68,
    /// 429, or 503 with `Retry-After`.
    Overloaded = 69,
    /// The proxy tried the endpoint in vain and went on to the next, which hides why.
    PassedOver = 70,
}

impl ErrorKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 5] = [
        Self::ConnectFailure,
        Self::Reset,
        Self::ServerError,
        Self::Overloaded,
        Self::PassedOver,
    ];

    /// Returns a label for metrics, in lower case with underscores.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectFailure => "connect_failure",
            Self::Reset => "reset",
            Self::ServerError => "server_error",
            Self::Overloaded => "overloaded",
            Self::PassedOver => "passed_over",
        }
    }
}

/// Returns the bucket of a time, 0 to 31.
#[must_use]
pub fn bucket(ms: u32) -> u8 {
    // At most 31.
    BOUNDS_MS.partition_point(|bound| *bound < ms) as u8
}

/// Adds to what was seen, which is in the order of kinds. A count does not exceed its limit.
pub fn add(seen: &mut Vec<Seen>, kind: u8, count: u32) {
    match seen.binary_search_by_key(&kind, |one| one.kind) {
        Ok(at) => {
            if let Some(one) = seen.get_mut(at) {
                one.count = one.count.saturating_add(count).min(limits::SEEN_COUNT);
            }
        }
        Err(_) if count == 0 => {}
        Err(at) => {
            let count = count.min(limits::SEEN_COUNT);
            seen.insert(at, Seen { kind, count });
        }
    }
}

/// Checks all rows for [`Report::check`](crate::Report::check).
pub(crate) fn check<'a>(rows: impl Iterator<Item = &'a [Seen]>) -> Result<(), DecodeError> {
    let mut found = 0_usize;
    for (row, seen) in rows.enumerate() {
        found = found.saturating_add(seen.len());
        let descends = seen
            .windows(2)
            .any(|pair| matches!(pair, [before, after] if before.kind >= after.kind));
        if descends {
            return Err(DecodeError::Order { field: "seen", row });
        }
        let kinds = |one: &&Seen| {
            u32::from(one.kind) >= KINDS || !(1..=limits::SEEN_COUNT).contains(&one.count)
        };
        if let Some(one) = seen.iter().find(kinds) {
            return Err(DecodeError::Range {
                field: "seen",
                row,
                value: format!("kind {}, {} times", one.kind, one.count),
                expected: "a kind below 128, 1 to 1000000000 times",
            });
        }
    }
    if found > limits::SEEN {
        return Err(DecodeError::TooMany {
            field: "seen",
            found,
            limit: limits::SEEN,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_powers_of_the_square_root_of_two_and_every_time_has_its_bucket() {
        for (at, bound) in BOUNDS_MS.iter().enumerate() {
            let exact = 4.0 * 2_f64.powf(at as f64 / 2.0);
            assert!((f64::from(*bound) - exact).abs() <= 0.5, "{bound}");
            assert_eq!(usize::from(bucket(*bound)), at);
            assert_eq!(usize::from(bucket(bound + 1)), at + 1);
        }
        assert_eq!((bucket(0), bucket(u32::MAX)), (0, 31));
    }

    #[test]
    fn every_kind_is_its_own_and_fits_a_report() {
        let sketches = [FIRST_BYTE, END, PREDICTION_ERROR].into_iter();
        let mut kinds: Vec<u8> = sketches
            .flat_map(|first| first..first + BUCKETS as u8)
            .collect();
        kinds.extend(ErrorKind::ALL.map(|kind| kind as u8));
        kinds.extend([FIRST_BYTE_SUM_MS, END_SUM_MS, PREDICTED_SUM_MS]);
        kinds.extend([PREDICTED_SEEN_SUM_MS, PREDICTION_ERROR_SUM_MS]);
        let count = kinds.len();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), count);
        assert!(kinds.iter().all(|kind| u32::from(*kind) < KINDS));
    }

    #[test]
    fn counts_add_up_in_order_and_stay_within_their_limit() {
        let mut seen = Vec::new();
        for (kind, count) in [(64, 700), (3, 1), (64, 41), (3, u32::MAX), (9, 0)] {
            add(&mut seen, kind, count);
        }
        let flat: Vec<_> = seen.iter().map(|one| (one.kind, one.count)).collect();
        assert_eq!(flat, [(3, limits::SEEN_COUNT), (64, 741)]);
        let labels = ErrorKind::ALL.map(|kind| (kind as u8, kind.as_str()));
        assert!(
            labels
                .windows(2)
                .all(|pair| pair[0].0 + 1 == pair[1].0 && pair[0].1 != pair[1].1)
        );
    }
}
