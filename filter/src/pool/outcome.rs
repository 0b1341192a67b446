//! How a request went, by what the proxy says about it.
//!
//! Tried on Envoy 1.40.0. For a request that was retried, only the last upstream and the number of
//! attempts are known. Flags and reasons are those of the last attempt.

use trimtab_loadtable::ErrorKind;
use trimtab_pick::Outcome;

/// Envoy's response flag for a connection that could not be made.
const CONNECT_FAILURE: u64 = 0x20;
/// Envoy's response flags for timeout, remote reset, lost connection, and broken protocol (a
/// chunked answer that ends early).
const BROKEN_OFF: u64 = 0x4 | 0x10 | 0x40 | 0x80_0000;
/// No more retries were left. This flag says nothing about the last attempt.
const RETRIES_USED_UP: u64 = 0x8000;

/// Returns what Envoy's flags say about the upstream. `None`: it broke nothing.
pub(crate) fn by_flags(flags: u64) -> Option<Outcome> {
    if flags & CONNECT_FAILURE != 0 {
        return Some(Outcome::ConnectFailure);
    }
    (flags & BROKEN_OFF != 0).then_some(Outcome::Reset)
}

/// Whether this status counts as a failure: 429 or 5xx.
pub(crate) fn is_failing(status: u16) -> bool {
    status == 429 || status / 100 == 5
}

/// Returns what an answer with a failing status says about its server. `None`: nothing; the answer
/// is the proxy's own (overflow, no route, faults).
pub(crate) fn by_status(status: u16, flags: u64, retry_after_ms: Option<u32>) -> Option<Outcome> {
    if let Some(outcome) = by_flags(flags) {
        return Some(outcome);
    }
    if flags & !RETRIES_USED_UP != 0 {
        return None;
    }
    match (status, retry_after_ms) {
        (429, _) | (503, Some(_)) => Some(Outcome::Overloaded { retry_after_ms }),
        _ => Some(Outcome::ServerError),
    }
}

/// Returns the kind of error that a report has for an outcome. `None`: no error.
pub(crate) fn kind(outcome: Outcome) -> Option<ErrorKind> {
    match outcome {
        Outcome::Ok | Outcome::Rejected => None,
        Outcome::ConnectFailure => Some(ErrorKind::ConnectFailure),
        Outcome::Reset => Some(ErrorKind::Reset),
        Outcome::ServerError => Some(ErrorKind::ServerError),
        Outcome::Overloaded { .. } => Some(ErrorKind::Overloaded),
    }
}

/// Returns the milliseconds of a `Retry-After`. `None`: it is a date (which would be of another
/// clock), or not a whole number.
pub(crate) fn retry_after_ms(value: &[u8]) -> Option<u32> {
    let value = value.trim_ascii();
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    digits.then(|| {
        let digit = |sum: u32, byte: &u8| {
            sum.saturating_mul(10)
                .saturating_add(u32::from(byte - b'0'))
        };
        value.iter().fold(0, digit).saturating_mul(1_000)
    })
}

/// Returns the number of a `:status`. `None`: it is not a number.
pub(crate) fn status(value: &[u8]) -> Option<u16> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_tell_what_broke_and_whether_the_answer_is_the_proxys_own() {
        for (flags, expected) in [
            (0, Some(Outcome::ServerError)),
            (0x8000, Some(Outcome::ServerError)),
            (0x8020, Some(Outcome::ConnectFailure)),
            (0x10, Some(Outcome::Reset)),
            (0x40, Some(Outcome::Reset)),
            (0x4, Some(Outcome::Reset)),
            (0x80_0000, Some(Outcome::Reset)),
            (0x2, None),
            (0x80, None),
            (0x400, None),
        ] {
            assert_eq!(by_status(503, flags, None), expected, "{flags:#x}");
        }
        assert_eq!(by_flags(0), None);
        assert_eq!(by_flags(0x4000), None, "the client went away");
    }

    #[test]
    fn who_names_a_time_is_overloaded_and_not_broken() {
        let rest = |retry_after_ms| Some(Outcome::Overloaded { retry_after_ms });
        assert_eq!(by_status(429, 0, Some(2_000)), rest(Some(2_000)));
        assert_eq!(by_status(429, 0, None), rest(None));
        assert_eq!(by_status(503, 0, Some(0)), rest(Some(0)));
        assert_eq!(by_status(500, 0, Some(9)), Some(Outcome::ServerError));
        let failing = [200, 204, 301, 400, 404, 429, 499, 500, 503, 599, 600, 0].map(is_failing);
        let expected = [429, 500, 503, 599].len();
        assert_eq!(failing.iter().filter(|failing| **failing).count(), expected);
    }

    #[test]
    fn retry_after_is_whole_seconds_of_any_size_and_nothing_else() {
        for (value, expected) in [
            ("2", Some(2_000)),
            (" 17 ", Some(17_000)),
            ("0", Some(0)),
            ("4294967295", Some(u32::MAX)),
            ("99999999999999999999999999", Some(u32::MAX)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ] {
            assert_eq!(retry_after_ms(value.as_bytes()), expected, "{value:?}");
        }
        assert_eq!(status(b"503"), Some(503));
        assert_eq!(
            (status(b""), status(b"\xff"), status(b"70000")),
            (None, None, None)
        );
    }
}
