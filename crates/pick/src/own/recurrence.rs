//! How often what one picker sees for the first time has been seen by others.
//!
//! A picker that gets a hundredth of a pool's requests meets most beginnings and conversations for
//! the first time. The few that come again here show how often they come in the whole pool.
//!
//! With `m` earlier prompts of its kind per prompt, geometrically distributed, of which this picker
//! gets the share `s`, a prompt has none with the chance `1 / (1 + m)`, and none was seen here with
//! the chance `1 / (1 + s m)`. So a prompt that was not seen here was seen by others with the
//! chance `m (1 - s) / (1 + m)`. `m / (1 + s m)` of the prompts per `s` were seen here.

/// Earlier prompts that a prompt is assumed to have before anything is known, and how much evidence
/// that is worth.
const EXPECTED: f64 = 4.0;
const EXPECTATION: f64 = 0.5;
/// Bounds the number of earlier prompts that a few prompts seem to show.
const LEAST_OF_MEAN: f64 = 0.1;
/// Evidence above which both counts are halved.
const MOST_EVIDENCE: f64 = 20.0;

/// How often prompts of one kind come again here.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Recurrence {
    /// Prompts whose kind had been seen here.
    found: f64,
    /// How many would have been seen here if each prompt had one earlier one, by this picker's
    /// share of the pool's requests.
    evidence: f64,
    /// This picker's share of the pool's requests at the newest prompt, 0 to 1.
    own_share: f64,
}

impl Recurrence {
    /// Records a prompt.
    ///
    /// - `came_again`: what it begins with had been seen here.
    /// - `own_share`: the part of the pool's requests that this picker gets, 0 to 1.
    pub(super) fn add(&mut self, came_again: bool, own_share: f64) {
        // NaN becomes 0.
        self.own_share = own_share.max(0.0).clamp(0.0, 1.0);
        self.found += f64::from(u8::from(came_again));
        self.evidence += self.own_share;
        if self.evidence > MOST_EVIDENCE {
            self.found *= 0.5;
            self.evidence *= 0.5;
        }
    }

    /// Returns how many prompts came again here, per evidence.
    pub(super) fn per_evidence(&self) -> f64 {
        (self.found + EXPECTED * EXPECTATION) / (self.evidence + EXPECTATION)
    }

    /// Returns the mean number of earlier prompts of its kind that a prompt has in the pool.
    fn mean(&self) -> f64 {
        let per_evidence = self.per_evidence();
        per_evidence / (1.0 - self.own_share * per_evidence).max(LEAST_OF_MEAN)
    }

    /// Returns the share of the pool's prompts that have an earlier one of their kind, 0 to 1.
    pub(super) fn later_share(&self) -> f64 {
        let mean = self.mean();
        mean / (1.0 + mean)
    }

    /// Returns the chance that what is new here was seen by others, 0 to 1.
    pub(super) fn chance_elsewhere(&self) -> f64 {
        self.later_share() * (1.0 - self.own_share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn what_is_new_here_was_seen_elsewhere_as_often_as_the_chance_says() {
        // Each prompt has three earlier ones in the mean, and this picker gets each with the chance
        // `own_share`. Of those that are new here, how many have an earlier one?
        for own_share in [0.1, 0.5, 0.9] {
            let mut rng = Rng::new(7);
            let (mut recurrence, mut chance) = (Recurrence::default(), 0.0);
            let (mut new, mut later, mut seen_here) = (0.0, 0.0, false);
            for _ in 0..40_000 {
                let is_later = rng.unit() < 0.75;
                seen_here &= is_later;
                if rng.unit() >= own_share {
                    continue;
                }
                if !seen_here {
                    new += 1.0;
                    later += f64::from(u8::from(is_later));
                    chance += recurrence.chance_elsewhere();
                }
                recurrence.add(seen_here, own_share);
                seen_here = true;
            }
            let (chance, later) = (chance / new, later / new);
            assert!(
                (chance - later).abs() < 0.05,
                "{own_share}: {chance:.2}, in fact {later:.2}"
            );
        }
    }

    #[test]
    fn a_picker_that_gets_all_requests_knows_what_is_new() {
        let mut recurrence = Recurrence::default();
        for came_again in [true, false, true] {
            recurrence.add(came_again, 1.0);
        }
        assert!(recurrence.chance_elsewhere() < 1e-9);
        recurrence.add(true, f64::NAN);
        recurrence.add(true, -3.0);
        assert!((0.0..=1.0).contains(&recurrence.chance_elsewhere()));
    }
}
