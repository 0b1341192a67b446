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
    /// What was seen, as [`What::kind`] numbers it. Readers skip unknown kinds.
    pub kind: u8,
    /// How often, or how many milliseconds. 1 to [`limits::SEEN_COUNT`].
    pub count: u32,
}

/// What was seen at an endpoint: what the number [`Seen::kind`] means. Times are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A time from placement to the first byte of the answer's body, by its [`bucket`].
    FirstByte(u8),
    /// A time from placement to the end of a whole answer, by its [`bucket`].
    End(u8),
    /// Sum of the times to the first byte.
    FirstByteSum,
    /// Sum of the times to the end.
    EndSum,
    /// A request that went wrong.
    Error(ErrorKind),
    /// Sum of the predicted times to the first byte.
    ///
    /// This and the next three count streamed answers that came from where their requests were
    /// placed, and that had a prediction.
    PredictedSum,
    /// Sum of the times that these really took.
    PredictedSeenSum,
    /// Sum of the differences between the two, without their signs.
    PredictionErrorSum,
    /// A difference, by its [`bucket`].
    PredictionError(u8),
}

/// First of the [`BUCKETS`] numbers of a sketch.
const FIRST_BYTE: u8 = 0;
const END: u8 = 32;
const PREDICTION_ERROR: u8 = 96;

impl What {
    /// Returns the number in reports.
    #[must_use]
    pub const fn kind(self) -> u8 {
        match self {
            Self::FirstByte(bucket) => FIRST_BYTE + bucket,
            Self::End(bucket) => END + bucket,
            Self::FirstByteSum => 64,
            Self::EndSum => 65,
            Self::Error(kind) => kind as u8,
            Self::PredictedSum => 71,
            Self::PredictedSeenSum => 72,
            Self::PredictionErrorSum => 73,
            Self::PredictionError(bucket) => PREDICTION_ERROR + bucket,
        }
    }

    /// Returns what a number means. `None`: it is not known here, as one of a newer proxy.
    #[must_use]
    pub fn of(kind: u8) -> Option<Self> {
        match kind {
            FIRST_BYTE..END => Some(Self::FirstByte(kind - FIRST_BYTE)),
            END..64 => Some(Self::End(kind - END)),
            64 => Some(Self::FirstByteSum),
            65 => Some(Self::EndSum),
            71 => Some(Self::PredictedSum),
            72 => Some(Self::PredictedSeenSum),
            73 => Some(Self::PredictionErrorSum),
            PREDICTION_ERROR..128 => Some(Self::PredictionError(kind - PREDICTION_ERROR)),
            _ => {
                let known = ErrorKind::ALL.into_iter().find(|one| *one as u8 == kind);
                known.map(Self::Error)
            }
        }
    }
}

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
    fn every_number_means_one_thing_and_the_kinds_fit_a_report() {
        let known = |kind| What::of(kind).map(|what| (kind, what));
        let all: Vec<_> = (0..=u8::MAX).filter_map(known).collect();
        assert_eq!(all.len(), 3 * BUCKETS + 5 + ErrorKind::ALL.len());
        for (at, (kind, what)) in all.iter().enumerate() {
            assert_eq!(what.kind(), *kind);
            assert!(u32::from(*kind) < KINDS);
            assert!(all.iter().skip(at + 1).all(|(_, other)| other != what));
        }
        for error in ErrorKind::ALL {
            assert_eq!(What::of(error as u8), Some(What::Error(error)));
        }
        let (first, last) = (What::FirstByte(0), What::PredictionError(BUCKETS as u8 - 1));
        assert_eq!((What::of(0), What::of(127)), (Some(first), Some(last)));
        assert_eq!((What::of(74), What::of(128)), (None, None));
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
