//! Remembers which reports of a proxy were taken in. Each counts once, in whatever order they come:
//! syncs and single reports have connections of their own.

/// How many sequences behind the newest are distinguished.
const BEHIND: u64 = 64;

/// When a report comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// After all that have come.
    Newest,
    /// After a later one.
    Late,
}

/// A window that slides over the sequences, as against replays of packets (RFC 4303, section
/// 3.4.3).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Window {
    newest: u64,
    /// Bit n: the sequence `newest - 1 - n` was taken in.
    behind: u64,
}

impl Window {
    /// Returns the newest sequence that was taken in.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// Returns the turn of a sequence. `None`: it was taken in, or is too far behind to know.
    pub(crate) fn turn(&self, sequence: u64) -> Option<Turn> {
        if sequence > self.newest {
            return Some(Turn::Newest);
        }
        let bit = self.bit(sequence)?;
        (self.behind & bit == 0).then_some(Turn::Late)
    }

    /// Notes that the sequence was taken in.
    pub(crate) fn take(&mut self, sequence: u64) {
        let Some(ahead) = sequence.checked_sub(self.newest).filter(|by| *by > 0) else {
            self.behind |= self.bit(sequence).unwrap_or(0);
            return;
        };
        let shifted = |bits: u64, by: u64| match u32::try_from(by) {
            Ok(by) => bits.checked_shl(by).unwrap_or(0),
            Err(_) => 0,
        };
        self.behind = shifted(self.behind, ahead) | shifted(1, ahead - 1);
        self.newest = sequence;
    }

    /// Returns the bit of a sequence behind the newest. `None`: it is not in the window.
    fn bit(&self, sequence: u64) -> Option<u64> {
        let by = self.newest.checked_sub(sequence)?.checked_sub(1)?;
        (by < BEHIND).then(|| 1 << by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::draws;
    use std::collections::BTreeSet;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn each_sequence_is_taken_once_in_whatever_order() {
        let mut below = draws(1);
        let (mut window, mut taken, mut newest) = (Window::default(), BTreeSet::new(), 0);
        for step in 1..20_000_u64 {
            // Near the newest, and now and then far ahead or behind.
            let far = if below(50) == 0 { below(200) } else { 0 };
            let sequence = (step + below(80) + far).saturating_sub(40).max(1);
            let expected = if sequence > newest {
                Some(Turn::Newest)
            } else if newest - sequence > BEHIND || taken.contains(&sequence) {
                None
            } else {
                Some(Turn::Late)
            };
            assert_eq!(window.turn(sequence), expected, "{sequence} of {newest}");
            if expected.is_some() {
                window.take(sequence);
                taken.insert(sequence);
                newest = newest.max(sequence);
            }
        }
    }

    #[test]
    fn the_ends_of_the_numbers_are_numbers_as_others() {
        let mut window = Window::default();
        for (sequence, turn) in [
            (0, None),
            (u64::MAX, Some(Turn::Newest)),
            (u64::MAX, None),
            (u64::MAX - 64, Some(Turn::Late)),
            (u64::MAX - 65, None),
            (0, None),
        ] {
            assert_eq!(window.turn(sequence), turn, "{sequence}");
            if turn.is_some() {
                window.take(sequence);
            }
        }
    }
}
