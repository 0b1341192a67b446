//! The endpoints that may be chosen, indexed for drawing.

use alloc::vec::Vec;

use crate::EndpointLoad;
use crate::rule::cost::work_s;
use crate::table::row::Row;
use crate::table::water_level_index::WaterLevelIndex;

/// A set of endpoints, with what a decision needs to draw from it.
#[derive(Debug, Clone)]
pub(crate) struct Choosable {
    /// Indices in the snapshot, ascending.
    pub(crate) choosable: Vec<u32>,
    /// Sum of the speeds of `choosable` up to and including each position.
    pub(crate) cumulative_speed: Vec<f64>,
    /// The waits of `choosable`, for a given mean request.
    pub(crate) level: WaterLevelIndex,
    /// Prompt tokens per second of all of `choosable` together.
    pub(crate) prefill_tokens_per_s: f64,
    /// Mean age of the rows of `choosable` when the table arrived, in milliseconds.
    pub(crate) mean_age_ms: f64,
}

impl Choosable {
    /// Indexes `choosable`. O(n log n).
    ///
    /// - `mean_uncached_tokens`: uncached prompt tokens of a mean request.
    #[inline(never)]
    pub(crate) fn new(
        choosable: Vec<u32>,
        endpoints: &[EndpointLoad],
        rows: &[Row],
        mean_uncached_tokens: f64,
    ) -> Self {
        let at = |index: &u32| usize::try_from(*index).ok();
        let chosen = || {
            let row = |index: &u32| Some((*index, *rows.get(at(index)?)?));
            choosable.iter().filter_map(row)
        };
        let sums = chosen().scan(0.0, |sum, (_, row)| {
            *sum += row.speed;
            Some(*sum)
        });
        let cumulative_speed = sums.collect();
        let prefill_tokens_per_s = chosen().map(|(_, row)| 1.0 / row.prefill_s_per_token).sum();
        let ages = choosable
            .iter()
            .filter_map(|index| Some(f64::from(endpoints.get(at(index)?)?.age_ms)));
        let mean_age_ms = ages.sum::<f64>() / (choosable.len() as f64).max(1.0);
        let level = WaterLevelIndex::new(rows, &choosable, |row| work_s(row, mean_uncached_tokens));
        Self {
            cumulative_speed,
            prefill_tokens_per_s,
            level,
            mean_age_ms,
            choosable,
        }
    }
}
