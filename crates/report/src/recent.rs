//! What belonged to the last few reports, by the number of the report.

use std::collections::VecDeque;

/// Reports that are remembered. A table names a report a few round trips later. At one report each
/// 10 ms they cover 0.3 s.
const KEPT: usize = 32;

/// The newest entry is the last one. A new one replaces the oldest.
#[derive(Debug)]
pub(crate) struct Recent<T>(VecDeque<(u64, T)>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Recent<T> {
    /// Remembers `mark` for the report with this number.
    pub(crate) fn push(&mut self, number: u64, mark: T) {
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back((number, mark));
    }

    /// Returns what belonged to the report. `None`: there was no such report, or it is too long
    /// ago.
    pub(crate) fn find(&self, number: u64) -> Option<&T> {
        let mut newest_first = self.0.iter().rev();
        newest_first
            .find(|(own, _)| *own == number)
            .map(|(_, mark)| mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_newest_are_found_and_the_oldest_forgotten() {
        let mut marks = Recent::default();
        let newest = 3 * KEPT as u64;
        (1..=newest).for_each(|number| marks.push(number, number * 10));
        assert_eq!(marks.find(newest), Some(&(newest * 10)));
        assert_eq!(marks.find(newest + 1), None);
        let found = (1..=newest).filter(|number| marks.find(*number).is_some());
        assert_eq!(found.count(), KEPT);
    }
}
