//! Finds the name that was probably meant.

/// Returns the candidate that is most similar to `name`. Returns `None` if none is similar.
pub(super) fn nearest<'c>(
    name: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    let scored = candidates.map(|candidate| (likeness(name, candidate), candidate));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.3).then_some(best.1)
}

/// Returns a similarity from 0 to 1: by shared words, or by how few letters must change, whichever
/// is larger.
fn likeness(a: &str, b: &str) -> f64 {
    shared_words(a, b).max(1.0 - 2.0 * letters_changed(a, b))
}

fn shared_words(a: &str, b: &str) -> f64 {
    let split = |name: &str| {
        name.split(['_', '/', '.'])
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (a, mut b) = (split(a), split(b));
    let all = a.len() + b.len();
    let shared = a.iter().filter(|word| {
        let found = b.iter().position(|other| other == *word);
        found.map(|at| b.swap_remove(at)).is_some()
    });
    2.0 * shared.count() as f64 / all as f64
}

/// Returns the edit distance divided by the length of the longer name.
fn letters_changed(a: &str, b: &str) -> f64 {
    let b_chars: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b_chars.len()).collect();
    for (index, from) in a.chars().enumerate() {
        let mut corner = index;
        row[0] = index + 1;
        for (place, to) in b_chars.iter().enumerate() {
            let changed = corner + usize::from(from != *to);
            corner = row[place + 1];
            row[place + 1] = changed.min(corner + 1).min(row[place] + 1);
        }
    }
    let longer = a.chars().count().max(b_chars.len()).max(1);
    row[b_chars.len()] as f64 / longer as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_and_a_renamed_name_find_what_was_meant() {
        let known = [
            "table_max_age",
            "max_ejection",
            "bodies_pass_below_the_limit_whole",
        ];
        let near = |name| nearest(name, known.into_iter());
        assert_eq!(near("table_max_aeg"), Some("table_max_age"));
        assert_eq!(near("max_ejections"), Some("max_ejection"));
        assert_eq!(
            near("sizes_pass_the_limit_whole"),
            Some("bodies_pass_below_the_limit_whole")
        );
        assert_eq!(near("zone"), None);
    }
}
