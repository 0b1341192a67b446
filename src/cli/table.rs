//! `trimtab table` prints a load table for people.

mod doubts;
mod read;
mod source;

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::{Context as _, Result};
use trimtab_loadtable::json::TableView;
use trimtab_loadtable::{Endpoint, Table};

use read::Said;

/// Show the load table of a running aggregator, or one stored in a file.
///
/// Absent signals are shown as `-`, never as 0, because the aggregator does not know them.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// HOST:PORT of an aggregator, or a file with a table as GET /v1/pools/POOL/table returns it
    #[arg(
        value_name = "URL|FILE",
        env = "TRIMTAB_AGGREGATOR",
        default_value = "http://127.0.0.1:9190"
    )]
    source: String,

    /// Name of the pool; needed if the aggregator has more than one
    #[arg(long)]
    pool: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Print again every second, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

const AFTER_HELP: &str = "\
Examples:
  trimtab table                                        the aggregator on this machine
  trimtab table http://10.0.0.5:9190 --pool chat --watch
  trimtab table http://10.0.0.5:9190 --json | jq '.endpoints[].wait_ms'
  curl -s http://10.0.0.5:9190/v1/pools/chat/table > now.pb && trimtab table now.pb";

/// Time between two tables with `--watch`.
const INTERVAL: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    runtime.block_on(async {
        loop {
            let (table, said) = read::read(&args.source, args.pool.as_deref()).await?;
            let text = if args.json {
                json(&table, &said)?
            } else {
                render(&table, &said)
            };
            let mut out = std::io::stdout().lock();
            // On a terminal the next table replaces this one. A pipe gets all tables, one after the
            // other.
            let clear = if args.watch && out.is_terminal() {
                "\x1b[H\x1b[2J"
            } else {
                ""
            };
            out.write_all(format!("{clear}{text}").as_bytes())
                .context("standard output")?;
            drop(out);
            if !args.watch {
                return Ok(());
            }
            tokio::time::sleep(INTERVAL).await;
        }
    })
}

fn json(table: &Table, said: &Said) -> Result<String> {
    let mut view = TableView {
        predictions: said.predictions,
        ..TableView::from(table)
    };
    for row in view.endpoints.iter_mut().filter(|row| row.doubt.is_some()) {
        row.reason = said.reasons.get(row.address).cloned();
    }
    Ok(serde_json::to_string_pretty(&view).context("the table does not fit JSON")? + "\n")
}

const TITLES: [&str; 12] = [
    "endpoint",
    "state",
    "role",
    "class",
    "wait",
    "waiting",
    "running",
    "in flight",
    "pending tokens",
    "kv used",
    "adapters",
    "age",
];

/// Formats the table as lines of text. Columns are as wide as their contents.
fn render(table: &Table, said: &Said) -> String {
    let demand = &table.demand;
    let mut out = format!(
        "pool {}, table {:016x}/{}, {} ms old, {} deciders, {} requests/s, {} new tokens and {} output tokens per request\n",
        table.pool,
        table.version.epoch,
        table.version.sequence,
        table.age_ms,
        shown(table.deciders),
        decimal(demand.arrival_rate),
        decimal(demand.uncached_tokens),
        decimal(demand.output_tokens),
    );
    if let Some(found) = said.predictions {
        let (predicted, seen, requests) = (found.predicted_ms, found.seen_ms, found.requests);
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            out,
            "first bytes after {seen:.0} ms, predicted {predicted:.0} ms, means of {requests} streamed answers"
        );
    }
    out.push('\n');
    let mut rows = vec![TITLES.map(str::to_owned)];
    rows.extend(table.endpoints.iter().map(|endpoint| row(table, endpoint)));
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(String::len)
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..TITLES.len()).map(width).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).enumerate();
        // Names are aligned to the left, figures to the right.
        let cells = cells.map(|(at, (cell, &width))| {
            if at < 4 {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        let _ = writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    out.push_str(&doubts::lines(table, &said.reasons));
    out
}

fn row(table: &Table, endpoint: &Endpoint) -> [String; 12] {
    let class = endpoint
        .class
        .and_then(|index| table.classes.get(usize::from(index)))
        .map(|class| class.name.as_str())
        .filter(|name| !name.is_empty())
        .unwrap_or("-");
    [
        endpoint.address.clone(),
        endpoint.state.as_str().to_owned(),
        endpoint.role.as_str().to_owned(),
        class.to_owned(),
        endpoint
            .wait_ms
            .map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms")),
        shown(endpoint.waiting),
        shown(endpoint.running),
        shown(endpoint.in_flight),
        shown(endpoint.pending_tokens),
        endpoint
            .kv_used
            .map_or_else(|| "-".to_owned(), |ratio| format!("{:.0} %", ratio * 100.0)),
        shown(endpoint.adapters.as_ref().map(Vec::len)),
        format!("{} ms", table.age_ms.saturating_add(endpoint.age_ms)),
    ]
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn decimal(value: Option<f32>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use trimtab_loadtable::json::PredictionsView;
    use trimtab_loadtable::{Class, Demand, Doubt, State, Version};

    fn table() -> Table {
        let endpoint = |address: &str| Endpoint {
            address: address.to_owned(),
            ..Endpoint::default()
        };
        Table {
            pool: "chat".to_owned(),
            version: Version {
                epoch: 1,
                sequence: 7,
            },
            age_ms: 40,
            deciders: None,
            demand: Demand {
                arrival_rate: Some(12.5),
                ..Demand::default()
            },
            placement_key: [9; 16],
            classes: vec![Class {
                name: "a100".to_owned(),
                ..Class::default()
            }],
            adapters: Vec::new(),
            heat: None,
            moved: None,
            probes: vec![],
            held: vec![],
            endpoints: vec![
                Endpoint {
                    class: Some(0),
                    wait_ms: Some(120),
                    waiting: Some(0),
                    kv_used: Some(0.5),
                    age_ms: 10,
                    ..endpoint("10.0.0.1:80")
                },
                Endpoint {
                    state: State::Suspect,
                    doubt: Some(Doubt::Unreadable),
                    ..endpoint("10.0.0.2:80")
                },
            ],
        }
    }

    #[test]
    fn absent_signals_are_dashes_and_zero_is_zero() {
        let text = render(&table(), &Said::default());
        let lines: Vec<Vec<&str>> = text
            .lines()
            .skip(3)
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            lines[0],
            "10.0.0.1:80 ready both a100 120 ms 0 - - - 50 % - 50 ms"
                .split(' ')
                .collect::<Vec<_>>()
        );
        assert_eq!(
            lines[1],
            "10.0.0.2:80 suspect both - - - - - - - - 40 ms"
                .split(' ')
                .collect::<Vec<_>>()
        );
        assert!(text.contains("12.5 requests/s") && text.contains("- deciders"));
    }

    #[test]
    fn why_an_endpoint_gets_no_requests_stands_below() {
        let text = render(&table(), &Said::default());
        let why = "\n\n10.0.0.2:80 is unreadable: it answers, but its page cannot be read";
        assert!(text.contains(why), "{text}");
        let reason = |reason: &str| ("10.0.0.2:80".to_owned(), reason.to_owned());
        let said = Said {
            reasons: BTreeMap::from([reason("status 401\u{1b}; set a token")]),
            ..Said::default()
        };
        let text = render(&table(), &said);
        assert!(
            text.contains("\n  its page: status 401 ; set a token\n"),
            "{text}"
        );
        let told = json(&table(), &said).unwrap();
        assert!(told.contains("\"reason\": \"status 401"), "{told}");
        let json = json(&table(), &Said::default()).unwrap();
        assert_eq!(json.matches("\"doubt\": \"unreadable\"").count(), 1);
        let sound = Table {
            endpoints: vec![],
            ..table()
        };
        assert!(!render(&sound, &Said::default()).contains(" is "));
    }

    #[test]
    fn predictions_are_a_line_and_a_field_where_some_were_told() {
        let found = PredictionsView {
            requests: 1_234,
            predicted_ms: 325.2,
            seen_ms: 277.5,
        };
        let said = |predictions| Said {
            predictions,
            ..Said::default()
        };
        let text = render(&table(), &said(Some(found)));
        let line = "first bytes after 278 ms, predicted 325 ms, means of 1234 streamed answers";
        assert_eq!(text.lines().nth(1), Some(line), "{text}");
        let view = |found| {
            serde_json::from_str::<serde_json::Value>(&json(&table(), &said(found)).unwrap())
        };
        let all = view(Some(found)).unwrap();
        assert_eq!(all["predictions"]["requests"], 1_234);
        assert!(view(None).unwrap().get("predictions").is_none());
    }

    #[tokio::test]
    async fn a_stored_table_is_read_back_and_the_secret_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("now.pb");
        std::fs::write(&file, table().encode()).unwrap();
        let (read, said) = read::read(&file.display().to_string(), None).await.unwrap();
        assert_eq!((&read, said.predictions), (&table(), None));
        assert!(!json(&read, &Said::default()).unwrap().contains("placement"));
    }

    #[tokio::test]
    async fn what_is_no_table_is_refused_with_its_name() {
        let read = async |source: &str| read::read(source, None).await.unwrap_err();
        let missing = format!("{:#}", read("/no/such/file").await);
        assert!(missing.contains("no file /no/such/file"), "{missing}");
        let unreachable = format!("{:#}", read("http://127.0.0.1:1").await);
        assert!(
            unreachable.contains("is the aggregator running there?"),
            "{unreachable}"
        );
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("text");
        std::fs::write(&file, "hello").unwrap();
        let text = format!("{:#}", read(&file.display().to_string()).await);
        assert!(text.contains("holds no load table"), "{text}");
    }
}
