//! `[expected]`: bands per rule.

use trimtab_settings::Settings;

use crate::Rule;
use crate::report::Band;

/// Reads the bands, in the order of [`Rule::ALL`].
pub(super) fn bands(s: &Settings<'_>) -> Vec<Band> {
    let s = s.section("expected");
    Rule::ALL
        .into_iter()
        .filter_map(|rule| {
            let hint = "write for example { p99_ratio_max = 1.5, slo_share_min = 0.9 }";
            let section = s.object(rule.as_str()).hint(hint).optional()?;
            let band = Band {
                rule,
                p99_ratio_max: section.f64("p99_ratio_max").range(0.0..=1e6).optional(),
                p99_max_s: section.f64("p99_max_s").range(0.0..=1e6).optional(),
                slo_share_min: section.f64("slo_share_min").range(0.0..=1.0).optional(),
                after_drain_max: section.f64("after_drain_max").range(0.0..=1e9).optional(),
                hit_ratio_min: section.f64("hit_ratio_min").range(0.0..=1.0).optional(),
            };
            Some(band)
        })
        .collect()
}
