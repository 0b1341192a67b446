//! What comes out: rows for people, and a record for docs/results.md.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::summary;

/// The CPU of one variant under one load. Quartiles and medians are over rounds.
pub(crate) struct Cpu {
    us_per_request: f64,
    requests_per_s: f64,
    /// Ratio to the first variant: lower quartile, median, upper quartile.
    ratio: [f64; 3],
    added_us: f64,
}

impl Cpu {
    /// - `base_us`, `us`: CPU per request, by round, of the first variant and of this one.
    pub(crate) fn new(base_us: &[f64], us: &[f64], per_s: &[f64]) -> Self {
        Self {
            us_per_request: summary::median(us.to_vec()),
            requests_per_s: summary::median(per_s.to_vec()),
            ratio: summary::ratio(base_us, us),
            added_us: summary::difference(base_us, us)[1],
        }
    }
}

/// The latency of one variant under one load.
pub(crate) struct Latency {
    p50_us: f64,
    p99_us: f64,
    /// Difference to the first variant: lower quartile, median, upper quartile.
    added_us: [f64; 3],
}

impl Latency {
    /// - `base_us`, `us`: times of all requests, of the first variant and of this one.
    pub(crate) fn new(base_us: &[f64], us: &[f64]) -> Self {
        Self {
            p50_us: summary::percentile(&mut us.to_vec(), 0.5),
            p99_us: summary::percentile(&mut us.to_vec(), 0.99),
            added_us: summary::difference(base_us, us),
        }
    }
}

/// What was measured under one load. The lists have one entry per variant, in the same order.
pub(crate) struct Load {
    pub(crate) name: String,
    pub(crate) rounds: usize,
    pub(crate) variants: Vec<String>,
    pub(crate) cpu: Vec<Cpu>,
    /// Empty: latency was not measured under this load.
    pub(crate) latency: Vec<Latency>,
}

impl Load {
    /// Prints the rows.
    pub(crate) fn print(&self) {
        println!("{}, {} rounds", self.name, self.rounds);
        println!(
            "  {:<13}{:>14}{:>12}{:>26}{:>14}",
            "", "CPU us/request", "requests/s", "CPU ratio (quartiles)", "CPU + us"
        );
        for (name, cpu) in self.variants.iter().zip(&self.cpu) {
            let [low, middle, high] = cpu.ratio;
            println!(
                "  {name:<13}{:>14.1}{:>12.0}{:>26}{:>14.1}",
                cpu.us_per_request,
                cpu.requests_per_s,
                format!("{middle:.3} ({low:.3}-{high:.3})"),
                cpu.added_us,
            );
        }
        if self.latency.is_empty() {
            return;
        }
        println!(
            "  {:<13}{:>14}{:>12}{:>26}",
            "", "p50 us", "p99 us", "paired us (quartiles)"
        );
        for (name, latency) in self.variants.iter().zip(&self.latency) {
            let [low, middle, high] = latency.added_us;
            println!(
                "  {name:<13}{:>14.0}{:>12.0}{:>26}",
                latency.p50_us,
                latency.p99_us,
                format!("{middle:.0} ({low:.0}-{high:.0})"),
            );
        }
    }

    fn json(&self) -> Value {
        let variants = self.variants.iter().zip(&self.cpu).enumerate();
        let variants = variants.map(|(at, (name, cpu))| {
            let latency = self.latency.get(at);
            json!({
                "name": name,
                "cpu_us": cpu.us_per_request,
                "requests_per_s": cpu.requests_per_s,
                "cpu_ratio": cpu.ratio,
                "cpu_added_us": cpu.added_us,
                "p50_us": latency.map(|latency| latency.p50_us),
                "p99_us": latency.map(|latency| latency.p99_us),
                "added_us": latency.map(|latency| latency.added_us),
            })
        });
        let variants: Vec<Value> = variants.collect();
        json!({"load": self.name, "rounds": self.rounds, "variants": variants})
    }
}

/// Writes the record into the folder that `cargo xtask bench` names. Without one there is none.
pub(crate) fn record(loads: &[Load]) -> Result<()> {
    let told = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let Some(folder) = told("TRIMTAB_RECORD_DIR") else {
        return Ok(());
    };
    let record = json!({
        "bench": "envoy_overhead",
        "command": "cargo xtask bench --bench envoy_overhead",
        "commit": told("TRIMTAB_COMMIT"),
        "envoy": told("TRIMTAB_ENVOY_VERSION"),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "loads": loads.iter().map(Load::json).collect::<Vec<_>>(),
    });
    let file = Path::new(&folder).join("envoy_overhead.json");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {folder}"))?;
    std::fs::write(&file, serde_json::to_string_pretty(&record)? + "\n")
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("recorded in {}", file.display());
    Ok(())
}
