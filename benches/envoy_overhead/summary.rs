//! Medians and paired comparisons.

/// Returns the median; with an even number of values the mean of the middle two. NaN for no values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    percentile(&mut values, 0.5)
}

/// Returns the quantile `share` by linear interpolation. NaN for no values.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else {
        return f64::NAN;
    };
    let position = share * last as f64;
    let (low, high) = (position.floor() as usize, position.ceil() as usize);
    values[low] + (values[high] - values[low]) * (position - low as f64)
}

/// Returns lower quartile, median and upper quartile of the per-round ratio of `other` to `base`.
pub(crate) fn ratio(base: &[f64], other: &[f64]) -> [f64; 3] {
    paired(base, other, |base, other| other / base)
}

/// Returns lower quartile, median and upper quartile of the per-round difference of `other` to
/// `base`.
pub(crate) fn difference(base: &[f64], other: &[f64]) -> [f64; 3] {
    paired(base, other, |base, other| other - base)
}

/// Returns lower quartile, median and upper quartile of the compared pairs.
fn paired(base: &[f64], other: &[f64], compare: impl Fn(f64, f64) -> f64) -> [f64; 3] {
    let mut pairs: Vec<f64> = base
        .iter()
        .zip(other)
        .map(|(base, other)| compare(*base, *other))
        .collect();
    [0.25, 0.5, 0.75].map(|share| percentile(&mut pairs, share))
}
