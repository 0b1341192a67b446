//! Builds the results of a run: the table at its end, `report.json` and the picture.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::policy::Policy;
use super::stats::{LaneFigures, Percentiles, percentile};
use crate::plot::{self, Curve, duration};

/// The contents of `report.json`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Figures by the name of the lane: `trimtab`, `least_request`, `round_robin`.
    pub(crate) lanes: BTreeMap<String, LaneFigures>,
    /// Version of Envoy; null without Envoy.
    pub(crate) envoy: Option<String>,
    pub(crate) seed: u64,
    /// Commit of this program's source; null if it is unknown.
    pub(crate) commit: Option<String>,
    pub(crate) load: Option<f64>,
    pub(crate) workload: String,
    pub(crate) requests_per_s: f64,
    pub(crate) warm_up_s: f64,
    pub(crate) measured_s: f64,
    pub(crate) servers: Vec<ServerLine>,
    pub(crate) slo: &'static str,
    pub(crate) client: ClientFigures,
}

/// One of the servers that every lane has.
#[derive(Debug, Serialize)]
pub(crate) struct ServerLine {
    pub(crate) name: String,
    pub(crate) profile: &'static str,
    pub(crate) speed: f64,
    pub(crate) kv_tokens: u64,
}

/// Delays of the load client itself.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct ClientFigures {
    pub(crate) send_delay_ms_p50: f64,
    pub(crate) send_delay_ms_p99: f64,
}

/// Definition of `slo_share`.
pub(crate) const SLO: &str = "TTFT <= 0.5 s + 2 x own prefill time of the whole prompt on an idle fast server; TPOT <= 75 ms";
/// Median delay above which the client distorts its own measurements.
const LATE_MS: f64 = 10.0;

impl Report {
    fn lanes(&self) -> impl Iterator<Item = (&str, &LaneFigures)> {
        let names = Policy::ALL.into_iter().map(Policy::name);
        names.filter_map(|name| Some((name, self.lanes.get(name)?)))
    }

    /// Formats the table for people.
    pub(crate) fn table(&self) -> String {
        let mut out = format!(
            "\n{} s measured after {} s of warm-up, {:.1} requests/s per lane, seed {}\n\n",
            self.measured_s, self.warm_up_s, self.requests_per_s, self.seed
        );
        let names = self
            .lanes()
            .map(|(name, _)| format!("{name:>15}"))
            .collect::<String>();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{:<22}{names}", "");
        let mut row = |title: &str, cell: &dyn Fn(&LaneFigures) -> String| {
            let cells = self
                .lanes()
                .map(|(_, lane)| format!("{:>15}", cell(lane)))
                .collect::<String>();
            let _ = writeln!(out, "{title:<22}{cells}");
        };
        let time = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), |ms| duration(ms / 1e3));
        let mut spread = |title: &str, of: fn(&LaneFigures) -> Percentiles| {
            row(&format!("{title} p50"), &|lane| time(of(lane).p50));
            row(&format!("{title} p90"), &|lane| time(of(lane).p90));
            row(&format!("{title} p99"), &|lane| time(of(lane).p99));
        };
        spread("TTFT", |lane| lane.ttft_ms);
        spread("TPOT", |lane| lane.tpot_ms);
        row("in SLO", &|lane| format!("{:.1} %", lane.slo_share * 100.0));
        row("prefix hit rate", &|lane| {
            format!("{:.1} %", lane.prefix_hit_ratio * 100.0)
        });
        row("requests", &|lane| lane.requests.to_string());
        row("errors", &|lane| lane.errors.to_string());
        row("never sent (lagged)", &|lane| lane.skipped.to_string());
        for server in &self.servers {
            row(&format!("  on {}", server.name), &|lane| {
                lane.per_endpoint
                    .get(&server.name)
                    .unwrap_or(&0)
                    .to_string()
            });
        }
        self.write_comparison(&mut out);
        let _ = writeln!(out, "\nin SLO: {}", self.slo);
        for (name, lane) in self.lanes().filter(|(_, lane)| lane.errors > 0) {
            let _ = writeln!(out, "errors of {name}: {:?}", lane.errors_by_kind);
        }
        if self.client.send_delay_ms_p50 > LATE_MS {
            let _ = writeln!(
                out,
                "warning: the load client sent late (median {:.0} ms): this machine is too busy, lower --load",
                self.client.send_delay_ms_p50
            );
        }
        out
    }

    fn write_comparison(&self, out: &mut String) {
        let p99 = |policy: Policy| self.lanes.get(policy.name())?.ttft_ms.p99;
        let Some(trimtab) = p99(Policy::Trimtab) else {
            return;
        };
        let others = [Policy::LeastRequest, Policy::RoundRobin];
        let ratios: Vec<String> = others
            .into_iter()
            .filter_map(|other| Some(format!("{:.2} of {}", trimtab / p99(other)?, other.name())))
            .collect();
        if !ratios.is_empty() {
            let _ = writeln!(out, "\np99 TTFT of trimtab: {}", ratios.join(", "));
        }
    }

    /// Writes `report.json` and `ttft.svg` into `dir`, which is created.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let json = serde_json::to_string_pretty(self).context("the report does not fit JSON")?;
        let curves: Vec<Curve<'_>> = self
            .lanes()
            .enumerate()
            .map(|(style, (name, lane))| Curve {
                name,
                style,
                sorted_s: &lane.ttft_s,
                p50_s: percentile(&lane.ttft_s, 0.5),
                p99_s: percentile(&lane.ttft_s, 0.99),
            })
            .collect();
        let load = self
            .load
            .map_or_else(String::new, |load| format!(", load {load}"));
        let subtitle = format!(
            "{}, {:.1} requests/s per lane{load}, {} s measured, seed {}; the same arrivals on four uneven servers per lane",
            self.workload, self.requests_per_s, self.measured_s, self.seed
        );
        let svg = plot::cumulative("Time to first token by load balancer", &subtitle, &curves);
        for (name, text) in [("report.json", json + "\n"), ("ttft.svg", svg)] {
            let path = dir.join(name);
            std::fs::write(&path, text)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use trimtab_modelserver::Profile;

    fn report() -> Report {
        let profile = Profile::named("a100").unwrap();
        let lanes = Policy::ALL.map(|policy| {
            (
                policy.name().to_owned(),
                LaneFigures::of(&[], 0, (0.0, 1.0), &profile, str::to_owned),
            )
        });
        Report {
            lanes: lanes.into(),
            envoy: Some("1.40.0".to_owned()),
            seed: 1,
            commit: None,
            load: Some(0.8),
            workload: "mixed".to_owned(),
            requests_per_s: 20.0,
            warm_up_s: 10.0,
            measured_s: 30.0,
            servers: vec![ServerLine {
                name: "fast-1".to_owned(),
                profile: "a100",
                speed: 1.0,
                kv_tokens: 400_000,
            }],
            slo: SLO,
            client: ClientFigures {
                send_delay_ms_p50: 11.0,
                send_delay_ms_p99: 20.0,
            },
        }
    }

    #[test]
    fn the_json_has_the_documented_shape_even_without_answers() {
        let dir = tempfile::tempdir().unwrap();
        report().write(&dir.path().join("new/folder")).unwrap();
        let bytes = std::fs::read(dir.path().join("new/folder/report.json")).unwrap();
        let json: Value = serde_json::from_slice(&bytes).unwrap();
        for lane in Policy::ALL.map(Policy::name) {
            for field in [
                "requests",
                "errors",
                "slo_share",
                "prefix_hit_ratio",
                "per_endpoint",
            ] {
                assert!(!json["lanes"][lane][field].is_null(), "{lane}.{field}");
            }
            for percentile in ["p50", "p90", "p99"] {
                assert!(json["lanes"][lane]["ttft_ms"].get(percentile).is_some());
                assert!(json["lanes"][lane]["tpot_ms"].get(percentile).is_some());
            }
        }
        assert_eq!(
            (&json["envoy"], &json["seed"]),
            (&"1.40.0".into(), &1.into())
        );
        assert!(json.get("commit").is_some());
        assert!(dir.path().join("new/folder/ttft.svg").is_file());
    }

    #[test]
    fn the_table_warns_of_a_late_client() {
        let table = report().table();
        assert!(
            table.contains("sent late (median 11 ms)") && table.contains("on fast-1"),
            "{table}"
        );
    }
}
