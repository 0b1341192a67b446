//! Reads `250ms`, `10s`, `2m`, `1h`: a whole number and a unit.

use std::time::Duration;

/// Reads a duration. Only whole numbers are allowed: `0.2s` is better written as `200ms`, and
/// nothing is rounded.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let seconds = |scale: u64| number.checked_mul(scale).map(Duration::from_secs);
    match unit.trim() {
        "us" => Some(Duration::from_micros(number)),
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3600),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use std::time::Duration;

    #[test]
    fn a_whole_number_and_a_unit_is_a_duration() {
        for (text, expected) in [
            ("200ms", Duration::from_millis(200)),
            ("10 s", Duration::from_secs(10)),
            ("2m", Duration::from_secs(120)),
            ("1h", Duration::from_secs(3600)),
            ("50us", Duration::from_micros(50)),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_not() {
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "1.5s",
            "1d",
            "99999999999999999999s",
            "18446744073709551615h",
            "é",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
