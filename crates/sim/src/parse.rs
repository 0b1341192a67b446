//! Reads a scenario file: TOML becomes a [`Scenario`] and its expected bands, or a list of all
//! problems.
//!
//! This module reads no disk. The caller gives the text, and a function that returns the trace with
//! a given name. All values in a file have limits, so that no run is too large for a machine.

mod churn;
mod expected;
mod fleet;
mod lists;
mod traffic;

use serde_json::{Map, Value};
use trimtab_settings::{Problems, Settings};

use crate::report::Band;
use crate::{Central, Deciders, Errors, Reports, Rule, Scenario, Slo, Source, Tables, capacity};

/// Longest scenario file in bytes.
pub const MOST_TEXT_BYTES: usize = 256 * 1024;
/// Most requests of one run: load times capacity times seconds.
const MOST_REQUESTS: f64 = 1e7;
/// Most runs of one scenario.
const MOST_RUNS: usize = 10_000;
/// The rules of a file that names none: the columns of the project's own comparison.
const USUAL_RULES: [Rule; 5] = [
    Rule::Oracle,
    Rule::RoundRobin,
    Rule::LeastRequest,
    Rule::EppCentralInFlight,
    Rule::Trimtab,
];

/// Tokens of text in the 16 KiB of a body that the filter reads, and in the 128 KiB that it reads
/// of long system prompts.
const READ_TOKENS: u64 = 4_000;
const READ_ON_TOKENS: u64 = 32_000;

/// Returns the bytes of the trace that a file names, or says why it cannot.
pub type TraceReader<'r> = &'r mut dyn FnMut(&str) -> Result<Vec<u8>, String>;

/// A scenario file that was read but not checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    value: Value,
}

/// The content of a scenario file.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The simulation.
    pub scenario: Scenario,
    /// The expected results. Empty if the file has none.
    pub expected: Vec<Band>,
}

impl Draft {
    /// Reads TOML.
    ///
    /// # Errors
    /// Returns an error if the text is not TOML, or has more than [`MOST_TEXT_BYTES`] bytes.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        if text.len() > MOST_TEXT_BYTES {
            let reason = format!("has {} bytes", text.len());
            let fix = format!("a scenario has at most {MOST_TEXT_BYTES}");
            return Err(Problems::one("", reason, fix));
        }
        let table = toml::from_str::<toml::Table>(text).map_err(|error| syntax(text, &error))?;
        Ok(Self {
            value: json(toml::Value::Table(table)),
        })
    }

    /// Sets one key to another value. Objects that are missing on the path are created.
    ///
    /// - `path`: keys joined by dots, for example `tables.scrape_s` or `fleet.0.count`.
    /// - `value`: a TOML value. A bare word counts as a text.
    ///
    /// # Errors
    /// Returns an error if `path` leads through a value that is no object or list, or `value` is
    /// not TOML.
    pub fn set(&mut self, path: &str, value: &str) -> Result<(), Problems> {
        let bad = |reason: String, fix: &str| Problems::one(path, reason, fix);
        let word = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
        let parsed = match toml::from_str::<toml::Table>(&format!("value = {value}")) {
            Ok(mut table) if table.len() == 1 => table.remove("value"),
            _ if !value.is_empty() && value.chars().all(word) => {
                Some(toml::Value::String(value.to_owned()))
            }
            _ => None,
        };
        let parsed = parsed.ok_or_else(|| {
            let fix = "write it as in the file: 0.2, true, \"text\", [1, 2]";
            bad(format!("{value:?} is not a value"), fix)
        })?;
        let mut place = &mut self.value;
        for key in path.split('.') {
            let fix = "name a key of the file, as in tables.scrape_s or fleet.0.count";
            place = match place {
                Value::Object(fields) if !key.is_empty() => fields
                    .entry(key)
                    .or_insert_with(|| Value::Object(Map::new())),
                Value::Array(items) => key
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| items.get_mut(index))
                    .ok_or_else(|| bad(format!("{key:?} is not in the list"), fix))?,
                _ => return Err(bad(format!("{key:?} leads nowhere"), fix)),
            };
        }
        *place = json(parsed);
        Ok(())
    }

    /// Checks everything and makes a scenario. Calls `trace` at most once.
    ///
    /// # Errors
    /// Returns all problems, each with field, value and fix.
    pub fn check(&self, trace: TraceReader<'_>) -> Result<Document, Problems> {
        let s = Settings::new(&self.value);
        let mut scenario = scenario(&s, trace);
        let expected = expected::bands(&s);
        fleet::fits(&s, &scenario);
        limits(&s, &mut scenario);
        s.finish(Document { scenario, expected })
    }
}

fn scenario(s: &Settings<'_>, trace: TraceReader<'_>) -> Scenario {
    let name = s
        .string("name")
        .hint("a short name for reports, such as chat")
        .max_bytes(64)
        .check(|name| {
            let fine = |c: char| c.is_ascii_alphanumeric() || "_-.+".contains(c);
            let why = "may hold letters, digits, and _ - . + only; files are named after it";
            (name.chars().all(fine) && !name.starts_with('.'))
                .then_some(())
                .ok_or(why)
        })
        .required();
    let (traffic, conversations) = traffic::read(s, trace);
    // Conversations, and the caches that they fill, take a while to reach a steady state.
    let warm_up_s = if conversations { 70.0 } else { 25.0 };
    Scenario {
        name,
        fleet: fleet::groups(s),
        churn: churn::changes(s),
        deciders: deciders(s),
        tables: tables(s),
        reports: reports(s),
        central: central(s),
        traffic,
        errors: errors(s),
        slo: slo(s),
        warm_up_s: s.f64("warm_up_s").range(0.0..=86_400.0).default(warm_up_s),
        measured_s: s.f64("measured_s").range(1.0..=86_400.0).default(60.0),
        grace_s: s.f64("grace_s").range(0.0..=86_400.0).default(120.0),
        loads: lists::loads(s),
        seeds: lists::seeds(s),
        rules: lists::rules(s, &USUAL_RULES),
    }
}

fn deciders(s: &Settings<'_>) -> Deciders {
    let s = s.section("deciders");
    Deciders {
        count: s.u64("count").range(1..=10_000).default(100) as u32,
        workers: s.u64("workers").range(1..=64).default(1) as u32,
        tick_s: s.f64("tick_s").range(0.0..=1.0).default(0.0),
        zipf: s.f64("zipf").range(0.0..=10.0).default(0.0),
        sticky: s.bool("sticky").default(false),
        marked: s.bool("marked").default(true),
        own_endings: s.bool("own_endings").default(false),
        read_tokens: s
            .u64("read_tokens")
            .range(256..=100_000_000)
            .default(READ_TOKENS) as u32,
        read_on_tokens: s
            .u64("read_on_tokens")
            .range(0..=100_000_000)
            .default(READ_ON_TOKENS) as u32,
    }
}

fn central(s: &Settings<'_>) -> Central {
    let s = s.section("central");
    let block_tokens = s
        .u64("block_tokens")
        .hint("write 16, 32, 48 or 64")
        .check(|tokens| match tokens {
            16 | 32 | 48 | 64 => Ok(()),
            _ => Err("is no multiple of 16 from 16 to 64"),
        });
    Central {
        block_tokens: block_tokens.default(u64::from(Central::default().block_tokens)) as u32,
    }
}

fn tables(s: &Settings<'_>) -> Tables {
    let s = s.section("tables");
    Tables {
        scrape_s: s.f64("scrape_s").range(0.01..=60.0).default(0.2),
        publish_s: s.f64("publish_s").range(0.01..=60.0).default(0.05),
        delay_s: s.f64("delay_s").range(0.0..=60.0).default(0.005),
        delay_spread_s: s.f64("delay_spread_s").range(0.0..=60.0).default(0.005),
        loss: s.f64("loss").range(0.0..=1.0).default(0.0),
        stops_at_s: s.f64("stops_at_s").range(0.0..=172_800.0).optional(),
    }
}

fn reports(s: &Settings<'_>) -> Reports {
    let s = s.section("reports");
    let urgent = s.bool("urgent").default(true);
    let gap_s = s.f64("urgent_gap_s").range(0.001..=60.0).default(0.02);
    Reports {
        enabled: s.bool("enabled").default(true),
        delay_s: s.f64("delay_s").range(0.0..=60.0).default(0.005),
        loss: s.f64("loss").range(0.0..=1.0).default(0.0),
        ack_loss: s.f64("ack_loss").range(0.0..=1.0).default(0.0),
        urgent_gap_s: urgent.then_some(gap_s),
    }
}

fn errors(s: &Settings<'_>) -> Errors {
    let s = s.section("errors");
    Errors {
        prompt_sigma: s.f64("prompt_sigma").range(0.0..=3.0).default(0.0),
        speed: s.f64("speed").range(0.0..=0.9).default(0.0),
    }
}

fn slo(s: &Settings<'_>) -> Slo {
    let s = s.section("slo");
    let usual = Slo::default();
    Slo {
        ttft_s: s.f64("ttft_s").range(0.001..=3_600.0).default(usual.ttft_s),
        prefill_factor: s
            .f64("prefill_factor")
            .range(0.0..=1_000.0)
            .default(usual.prefill_factor),
        tpot_s: s.f64("tpot_s").range(0.001..=60.0).default(usual.tpot_s),
    }
}

/// Stores the capacity, which is costly to compute. Records a problem if a run is too large for a
/// machine.
fn limits(s: &Settings<'_>, scenario: &mut Scenario) {
    let fleet_per_s = capacity::fleet_requests_per_s(scenario);
    let speeds: f64 = scenario
        .fleet
        .iter()
        .map(|group| f64::from(group.count) * group.profile.speed)
        .sum();
    scenario.traffic.capacity_per_endpoint = Some(fleet_per_s / speeds.max(f64::MIN_POSITIVE));
    let load = scenario.loads.iter().copied().fold(0.0, f64::max);
    let requests = fleet_per_s * load * (scenario.warm_up_s + scenario.measured_s);
    let stand_in =
        matches!(&scenario.traffic.source, Source::Trace(trace, _) if trace.rows.is_empty());
    if requests > MOST_REQUESTS {
        let reason = format!("a run would have {requests:.0} requests");
        let fix = format!(
            "at most {MOST_REQUESTS:.0}: lower measured_s, loads, workload.capacity_per_endpoint or the fleet's count"
        );
        s.problem(reason, fix);
    } else if requests < 1.0 && !stand_in {
        let reason = format!("a run would have {requests:.1} requests");
        let fix = "raise loads, measured_s, the fleet's count or slo.tpot_s, which bounds what it can serve";
        s.problem(reason, fix);
    }
    let runs = scenario.loads.len() * scenario.seeds.len() * scenario.rules.len();
    if runs > MOST_RUNS {
        let reason = format!("loads x seeds x rules are {runs} runs");
        s.problem(
            reason,
            format!("at most {MOST_RUNS}: divide it into several files"),
        );
    }
}

fn syntax(text: &str, error: &toml::de::Error) -> Problems {
    let start = error.span().map_or(0, |span| span.start);
    let line = text
        .bytes()
        .take(start)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1;
    let fix = "see `trimtab sim --print-example` for the form";
    Problems::one(
        format!("line {line}"),
        format!("is not TOML: {}", error.message()),
        fix,
    )
}

/// Converts a TOML value to the form that settings are read from. A date and a number that JSON
/// cannot hold become text, so that reading them as a number fails.
fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => serde_json::Number::from_f64(number)
            .map_or_else(|| Value::String(number.to_string()), Value::Number),
        toml::Value::Boolean(flag) => Value::Bool(flag),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(items) => items.into_iter().map(json).collect(),
        toml::Value::Table(table) => Value::Object(
            table
                .into_iter()
                .map(|(key, value)| (key, json(value)))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests;
