//! "Did you mean": finds the known name that is nearest to an unknown one.

/// Longer names get no suggestion. This bounds the work on hostile input.
const MAX_LEN: usize = 64;

/// Returns the nearest of `known`, or the first one on a tie. At most two edits or a third of the
/// name's length are allowed, whichever is more, but fewer than the whole length.
pub(crate) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    if name.len() > MAX_LEN {
        return None;
    }
    let length = name.chars().count();
    let within = (length / 3).max(2).min(length.saturating_sub(1));
    known
        .iter()
        .filter(|candidate| candidate.len() <= MAX_LEN)
        .map(|candidate| (edits(name, candidate), *candidate))
        .filter(|(distance, _)| *distance <= within)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns the Levenshtein distance, computed row by row. Case and `-` instead of `_` count as
/// equal, because these are the most common mistakes.
fn edits(a: &str, b: &str) -> usize {
    let fold = |c: char| {
        if c == '-' {
            '_'
        } else {
            c.to_ascii_lowercase()
        }
    };
    let b: Vec<char> = b.chars().map(fold).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().map(fold).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (to, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let cost = (diagonal + usize::from(from != *to))
                .min(*cell + 1)
                .min(left + 1);
            diagonal = *cell;
            *cell = cost;
            left = cost;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{edits, nearest};

    #[test]
    fn edits_are_counted_as_in_the_textbook() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("abc", ""), 3);
        assert_eq!(edits("flaw", "lawn"), 2);
        assert_eq!(edits("Wait-MS", "wait_ms"), 0);
    }

    #[test]
    fn a_slip_finds_the_name_and_a_stranger_does_not() {
        let known = ["pool", "wait_ms", "cluster"];
        assert_eq!(nearest("wait", &known), None);
        assert_eq!(nearest("wait_sm", &known), Some("wait_ms"));
        assert_eq!(nearest("clutser", &known), Some("cluster"));
        assert_eq!(nearest("banana", &known), None);
        assert_eq!(nearest(&"x".repeat(1000), &known), None);
    }
}
