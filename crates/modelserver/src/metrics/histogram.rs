//! A Prometheus histogram.

use std::borrow::Cow;

/// Counts per bucket. They are not cumulative: the page adds them up.
#[derive(Debug)]
pub(super) struct Histogram {
    bounds: Cow<'static, [f64]>,
    /// One entry more than `bounds`. The last counts all values above the bounds.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    /// Makes an empty histogram. `bounds` are ascending upper bounds, without infinity.
    pub(super) fn new(bounds: Cow<'static, [f64]>) -> Self {
        let counts = vec![0; bounds.len() + 1];
        Self {
            bounds,
            counts,
            sum: 0.0,
        }
    }

    pub(super) fn observe(&mut self, value: f64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.sum += value;
    }

    /// Returns `(upper bound, observations up to it)` for each bucket, infinity last.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        bounds.zip(&self.counts).scan(0, |total, (bound, count)| {
            *total += count;
            Some((bound, *total))
        })
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(super) fn sum(&self) -> f64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_counts_everything_up_to_and_including_its_bound() {
        let values = [0.5, 1.0, 1.5, 2.0, 2.5, 99.0];
        let bounds: &[f64] = &[1.0, 2.0, 5.0];
        let mut histogram = Histogram::new(Cow::Borrowed(bounds));
        values.iter().for_each(|v| histogram.observe(*v));
        for (bound, count) in histogram.cumulative() {
            assert_eq!(
                count,
                values.iter().filter(|v| **v <= bound).count() as u64,
                "le {bound}"
            );
        }
        assert_eq!(
            (histogram.count(), histogram.sum()),
            (6, values.iter().sum())
        );
    }
}
