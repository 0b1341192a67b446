//! Medians and paired comparisons.

/// The median; of an even number of values the mean of the middle two. NaN for none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    percentile(&mut values, 0.5)
}

/// The `share` quantile by linear interpolation. NaN for no values.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else {
        return f64::NAN;
    };
    let position = share * last as f64;
    let (low, high) = (position.floor() as usize, position.ceil() as usize);
    values[low] + (values[high] - values[low]) * (position - low as f64)
}

/// Median and quartiles of the per-round ratio of `other` to `base`.
pub(crate) fn ratio(base: &[f64], other: &[f64]) -> [f64; 3] {
    paired(base, other, |base, other| other / base)
}

/// Median and quartiles of the per-round difference of `other` to `base`.
pub(crate) fn difference(base: &[f64], other: &[f64]) -> [f64; 3] {
    paired(base, other, |base, other| other - base)
}

/// Lower quartile, median, upper quartile.
fn paired(base: &[f64], other: &[f64], compare: impl Fn(f64, f64) -> f64) -> [f64; 3] {
    let mut pairs: Vec<f64> = base
        .iter()
        .zip(other)
        .map(|(base, other)| compare(*base, *other))
        .collect();
    [0.25, 0.5, 0.75].map(|share| percentile(&mut pairs, share))
}
