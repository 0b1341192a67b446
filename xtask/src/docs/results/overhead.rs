//! What the filter costs a real Envoy.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::super::record::{Record, number};
use super::{head, row, shown};

const NAME: &str = "envoy_overhead";
const COMMAND: &str = "cargo xtask bench --bench envoy_overhead";

pub(super) fn table() -> Result<String> {
    let record = Record::newest(NAME)?;
    let mut out = format!(
        "Medians, and in parentheses quartiles of the per-round ratio or paired difference to plain Envoy. {}\n",
        record.source(COMMAND)
    );
    for load in record.list("loads")? {
        let name = load["load"].as_str().context("a load has no name")?;
        out.push_str(&format!("\n{name}:\n\n"));
        out.push_str(&head(&[
            "",
            "CPU ratio",
            "CPU, +us",
            "CPU, us",
            "requests/s",
            "p50, +us",
            "p50, us",
            "p99, us",
        ]));
        let variants = load["variants"]
            .as_array()
            .context("a load has no variants")?;
        for variant in variants {
            let name = variant["name"].as_str().context("a variant has no name")?;
            let plain = |path| shown(number(variant, path));
            out.push_str(&row(&[
                name.to_owned(),
                quartiles(&variant["cpu_ratio"], 2),
                plain("cpu_added_us"),
                plain("cpu_us"),
                plain("requests_per_s"),
                quartiles(&variant["added_us"], 0),
                plain("p50_us"),
                plain("p99_us"),
            ]));
        }
    }
    Ok(out)
}

/// Shows `[lower, median, upper]` with so many digits behind the point. Either quartile may be
/// null.
fn quartiles(value: &Value, digits: usize) -> String {
    let at = |place: usize| {
        value[place]
            .as_f64()
            .map(|value| format!("{value:.digits$}"))
    };
    match (at(0), at(1), at(2)) {
        (Some(low), Some(middle), Some(high)) => format!("{middle} ({low}-{high})"),
        (_, Some(middle), _) => middle,
        _ => "-".to_owned(),
    }
}

/// Returns the sentence of README.md, about the smallest load.
pub(super) fn summary() -> Result<String> {
    let record = Record::newest(NAME)?;
    let load = record.list("loads")?.first().context("there is no load")?;
    let figure = |name: &str, path: &str| {
        let variants = load["variants"].as_array()?;
        let variant = variants.iter().find(|variant| variant["name"] == name)?;
        number(variant, path).or_else(|| variant[path][1].as_f64())
    };
    let told = |name: &str, path: &str| {
        figure(name, path).with_context(|| format!("{NAME}: {name} has no {path}"))
    };
    let ms = |name: &str| told(name, "added_us").map(|us| format!("{:.1}", us / 1e3));
    let ratio = |name: &str| told(name, "cpu_ratio").map(|ratio| format!("{ratio:.2}"));
    Ok(format!(
        "{} times a plain Envoy's CPU per request, which is {:.0} us, and {} ms of median latency. As two plugins {} times and {} ms.\nA module that only holds the headers and does nothing takes {} times and {} ms ({}).\n",
        ratio("trimtab")?,
        told("trimtab", "cpu_added_us")?,
        ms("trimtab")?,
        ratio("tap+pick")?,
        ms("tap+pick")?,
        ratio("floor")?,
        ms("floor")?,
        record.day(),
    ))
}
