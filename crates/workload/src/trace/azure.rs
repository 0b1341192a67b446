//! Azure LLM inference traces: 2023, and 2024 with a UTC offset after the time.

use super::{Row, TraceError, tokens};

pub(super) const HEADER: &str = "TIMESTAMP,ContextTokens,GeneratedTokens";

/// Reads one line, for example `2023-11-16 18:17:03.9799600,4808,10`.
pub(super) fn row(line: usize, text: &str) -> Result<Row, TraceError> {
    let mut columns = text.split(',');
    let (Some(time), Some(context), Some(generated), None) = (
        columns.next(),
        columns.next(),
        columns.next(),
        columns.next(),
    ) else {
        return Err(TraceError::new(
            line,
            "columns",
            text,
            "does not have three columns",
            "write time,context,generated",
        ));
    };
    let Some(at_s) = seconds(time) else {
        let fix = "write YYYY-MM-DD HH:MM:SS.fffffff";
        return Err(TraceError::new(
            line,
            "TIMESTAMP",
            time,
            "is not a time",
            fix,
        ));
    };
    let count = |field, value: &str| match value.trim().parse() {
        Ok(number) => tokens(line, field, number),
        Err(_) => Err(TraceError::new(
            line,
            field,
            value,
            "is not a number of tokens",
            "write a whole number",
        )),
    };
    let prompt_tokens = count("ContextTokens", context)?;
    let output_tokens = count("GeneratedTokens", generated)?;
    Ok(Row {
        at_s,
        prompt_tokens,
        output_tokens,
        blocks: Vec::new(),
    })
}

/// Returns seconds since 1970-01-01, as if the time were UTC. An offset at the end is ignored: it
/// is the same on every line of these files, and only differences are used.
fn seconds(time: &str) -> Option<f64> {
    let (date, clock) = time.trim().split_once([' ', 'T'])?;
    let clock = clock.split(['+', 'Z']).next()?;
    let (year, month_day) = date.split_once('-')?;
    let (month, day) = month_day.split_once('-')?;
    let (hours, rest) = clock.split_once(':')?;
    let (minutes, seconds) = rest.split_once(':')?;
    let within = |text: &str, max: u32| text.parse::<u32>().ok().filter(|n| *n <= max);
    let days = days_since_1970(within(year, 9_999)?, within(month, 12)?, within(day, 31)?)?;
    let seconds = seconds
        .parse::<f64>()
        .ok()
        .filter(|s| (0.0..61.0).contains(s))?;
    let whole = days * 86_400
        + i64::from(within(hours, 23)?) * 3_600
        + i64::from(within(minutes, 59)?) * 60;
    Some(whole as f64 + seconds)
}

/// Returns the days since 1970-01-01 in the proleptic Gregorian calendar. The year begins in March,
/// so the leap day is its last day.
fn days_since_1970(year: u32, month: u32, day: u32) -> Option<i64> {
    let (month, day) = (
        i64::from(month.checked_sub(1)?),
        i64::from(day.checked_sub(1)?),
    );
    let year = i64::from(year) - i64::from(month < 2);
    let day_of_year = (153 * ((month + 10) % 12) + 2) / 5 + day;
    Some(year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_match_known_dates() {
        assert_eq!(days_since_1970(1970, 1, 1), Some(0));
        assert_eq!(days_since_1970(2000, 2, 29), Some(11_016));
        assert_eq!(days_since_1970(2023, 11, 16), Some(19_677));
        assert_eq!(days_since_1970(2023, 0, 16), None);
    }

    #[test]
    fn times_count_over_midnight_and_with_an_offset() {
        let before = seconds("2024-02-29 23:59:59.5000000").unwrap();
        let after = seconds("2024-03-01 00:00:01.0000000+00:00").unwrap();
        assert!((after - before - 1.5).abs() < 1e-6);
        for bad in [
            "",
            "2024-03-01",
            "2024-13-01 00:00:00",
            "2024-03-01 24:00:00",
            "2024-03-01 00:00:NaN",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
