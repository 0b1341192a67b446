//! Endpoints from a file, which is read again when it changes.
//!
//! ```yaml
//! endpoints:
//! - address: 10.0.0.1:8000        # ip:port, as Envoy knows it
//!   class: NVIDIA-H100-80GB-HBM3  # optional: hardware class; its speed holds until measured
//!   zone: eu-1a                   # only shown, in the table's JSON: nothing is decided by it
//!   role: both                    # or decode: the endpoint is shown and gets no prompts
//!   draining: false               # true: gets no new requests
//!   batch_limit: 256              # most sequences in one batch, where the server does not say
//!   metrics_port: 8000            # where the page is, if on another port; or as a whole:
//!   metrics_url: https://10.0.0.1:8443/metrics
//!   engine: vllm                  # where it differs from the pool's
//! ```

use super::text::printable;
use super::{MetricsAt, Target, Targets, form, publish};
use crate::metrics::PoolMetrics;
use crate::scrape::page::Engine;
use crate::yaml::{MAX_FILE_BYTES, yaml};
use hyper::Uri;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use trimtab_estimate::EndpointSpec;
use trimtab_loadtable::{Role, limits};
use trimtab_settings::{Field, Problems, Settings};

/// The section `discovery.file`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointFile {
    /// The path of the file.
    pub path: PathBuf,
    /// How often the file is checked.
    pub interval: Duration,
}

impl EndpointFile {
    pub(super) fn read(s: &Settings<'_>) -> Self {
        Self {
            path: s
                .about("Path of the file, relative to the working directory.")
                .string("path")
                .max_bytes(4096)
                .required()
                .into(),
            interval: s
                .about("How often the file is looked at.")
                .duration("interval")
                .range(Duration::from_millis(10)..=Duration::from_secs(600))
                .default(Duration::from_secs(1)),
        }
    }
}

/// Length and modification time of a file. Both are cheap to read. The time alone misses two writes
/// within its resolution.
type Stamp = (u64, Option<SystemTime>);

/// A changed file is read once it has not changed for this long. A program may take a moment to
/// write it, and a list that is cut at the end of a line is valid too.
const SETTLE: Duration = Duration::from_millis(100);
/// After so many checks a file that keeps changing is read anyway.
const MAX_UNSETTLED: u32 = 10;

/// Checks the file every `interval`, and reads it when its stamp differs. Polling works on every
/// file system, also where a ConfigMap is replaced by renaming a link two directories up.
///
/// Rejected: inotify.
pub(super) async fn follow(
    EndpointFile { path, interval }: &EndpointFile,
    out: &watch::Sender<Targets>,
    metrics: &PoolMetrics,
) {
    let mut ticks = tokio::time::interval(*interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut seen = None;
    for look in 0u64.. {
        ticks.tick().await;
        if out.is_closed() {
            return;
        }
        // While nothing is listed, a list is read at once, without waiting for the file to settle.
        let settled = if out.borrow().listed.is_some() {
            settled(path, seen).await
        } else {
            None
        };
        // Every tenth check reads the file anyway, because a file system's time may be coarse. An
        // equal list changes nothing.
        let unless = if look % 10 == 0 { None } else { seen };
        let owned = path.to_owned();
        match tokio::task::spawn_blocking(move || look_at(&owned, unless, settled)).await {
            Ok(Some((stamp, outcome))) => {
                seen = stamp;
                outcome
                    .into_iter()
                    .for_each(|outcome| publish(out, outcome, metrics));
            }
            Ok(None) => {}
            Err(error) => publish(out, Err(error.to_string()), metrics),
        }
    }
}

/// Waits until the file has not changed for [`SETTLE`], and returns its stamp. Returns at once if
/// the stamp equals `seen`. `None`: the file keeps changing.
async fn settled(path: &Path, seen: Option<Stamp>) -> Option<Option<Stamp>> {
    let mut before = seen;
    for _ in 0..MAX_UNSETTLED {
        let owned = path.to_owned();
        // An error means that the process is ending.
        let now = tokio::task::spawn_blocking(move || stamp(&owned)).await;
        let now = now.ok().flatten();
        if now == before {
            return Some(now);
        }
        before = now;
        tokio::time::sleep(SETTLE).await;
    }
    None
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.len(), meta.modified().ok()))
}

/// The result of a check: the file's stamp and, if the file was read, its endpoints.
type Look = (Option<Stamp>, Option<Result<Vec<Target>, String>>);

/// Reads the file unless its stamp is `unless`. `None`: the file is being written, because its
/// stamp before or after the reading is not `settled`.
fn look_at(path: &Path, unless: Option<Stamp>, settled: Option<Option<Stamp>>) -> Option<Look> {
    let stamp_now = stamp(path);
    let unchanged = stamp_now.is_some() && stamp_now == unless;
    let outcome = (!unchanged).then(|| load(path));
    let still = settled.is_none_or(|settled| settled == stamp_now && stamp(path) == settled);
    still.then_some((stamp_now, outcome))
}

/// Reads and validates the file.
///
/// # Errors
/// Names the file and every problem in it.
pub(crate) fn load(path: &Path) -> Result<Vec<Target>, String> {
    let shown = path.display();
    let text = read(path).map_err(|error| format!("{shown}: {error}"))?;
    parse(&text).map_err(|problems| format!("{shown}: {problems}"))
}

/// Reads the text of a file of at most [`MAX_FILE_BYTES`].
pub(crate) fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = std::fs::File::open(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => std::io::Error::other("is not text in UTF-8"),
            _ => error,
        })?;
    if read as u64 > MAX_FILE_BYTES {
        return Err(std::io::Error::other(format!(
            "is larger than {MAX_FILE_BYTES} bytes"
        )));
    }
    Ok(text)
}

/// Reads the endpoints of a document.
pub(crate) fn parse(text: &str) -> Result<Vec<Target>, Problems> {
    document(&yaml(text)?)
}

/// As `parse`, for a document that has been read as YAML.
pub(crate) fn document(value: &Value) -> Result<Vec<Target>, Problems> {
    if let Some((reason, fix)) = form::foreign(value) {
        return Err(Problems::one("", reason, fix));
    }
    if form::is_bare(value) {
        let fix = "write `endpoints:` above it";
        return Err(Problems::one("", "is a list by itself", fix));
    }
    let s = Settings::new(value);
    // An empty file is more often half-written than an empty pool. `endpoints: []` means an empty
    // pool.
    let list = listed(&s).required();
    let targets = targets(&s, &list);
    s.finish(targets)
}

/// Returns the field `endpoints`.
pub(crate) fn listed<'v>(s: &Settings<'v>) -> Field<Vec<Settings<'v>>> {
    let foreign = s.value("endpoints").optional().and_then(form::foreign);
    let hint =
        "list the endpoints as `- address: 10.0.0.1:8000`, or write `endpoints: []` for none";
    let s = s.about("A list. In `file`, the list of that file has the same form.");
    match foreign {
        Some((reason, fix)) => s
            .objects("endpoints")
            .hint(fix)
            .check(move |_| Err::<(), _>(reason)),
        None => s.objects("endpoints").hint(hint),
    }
}

/// Reads the endpoints of a list. An endpoint that is listed twice is a problem.
pub(crate) fn targets(s: &Settings<'_>, list: &[Settings<'_>]) -> Vec<Target> {
    let mut places = BTreeMap::new();
    let mut targets = Vec::with_capacity(list.len());
    for entry in list {
        let target = target(entry);
        if target.spec.address == UNREAD.to_string() {
            continue;
        }
        // An IPv4 address may be written as an IPv6 address. It is the same server.
        let address = target.spec.address.parse::<SocketAddr>();
        let server = address
            .ok()
            .map(|address| (address.ip().to_canonical(), address.port()));
        if let Some(first) = places.insert(server, entry.path()) {
            entry.problem(
                format!("{} is listed twice, before at {first}", target.spec.address),
                "list each endpoint once",
            );
        }
        targets.push(target);
    }
    targets.sort_by(|a, b| a.spec.address.cmp(&b.spec.address));
    if targets.len() > limits::ENDPOINTS {
        let reason = format!(
            "{} endpoints are listed, at most {} fit a table",
            targets.len(),
            limits::ENDPOINTS
        );
        s.problem(reason, "split the pool");
    }
    targets
}

/// Stands for an address that could not be read. `finish` then refuses the document.
const UNREAD: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

fn target(s: &Settings<'_>) -> Target {
    let address = s
        .about("`ip:port`, exactly as Envoy knows the host. IPv6 in brackets.")
        .string("address")
        .address()
        .check(|address| match address.port() {
            0 => Err("has port 0"),
            _ if address.ip().is_unspecified() => {
                Err("is where a server listens, and nowhere to send to")
            }
            _ => Ok(()),
        });
    let address = address.required_or(UNREAD);
    let roles = [
        ("both", Role::Both),
        ("prefill", Role::Prefill),
        ("decode", Role::Decode),
    ];
    let engines: Vec<(&str, &'static Engine)> = Engine::ALL
        .into_iter()
        .map(|engine| (engine.name, engine))
        .collect();
    let name = |field: &'static str, about| {
        s.about(about)
            .string(field)
            .check(|text| printable(text))
            .default(String::new())
    };
    Target {
        spec: EndpointSpec {
            address: address.to_string(),
            class: name("class", "Its hardware class, for its speed until that is measured."),
            role: s
                .about("both; or decode: it is shown and gets no prompts. prefill is \
                    refused: handing its work on is not supported.")
                .string("role")
                .one_of(&roles)
                .hint("leave the endpoint out, or write both where it answers whole prompts")
                .check(|role| match role {
                    Role::Prefill => {
                        Err("answers no prompts, and handing its work on is not supported")
                    }
                    _ => Ok(()),
                })
                .default(Role::Both),
            draining: s
                .about("Whether it finishes what it has and gets nothing new.")
                .bool("draining")
                .default(false),
            zone: name("zone", "Shown in the table's JSON. Nothing is decided by it."),
            batch_limit: s
                .about("Most sequences in one batch, where the server does not say. Absent: not known.")
                .u64("batch_limit")
                .range(1..=1_000_000)
                .map(u32::try_from)
                .optional(),
        },
        metrics: metrics_at(s, address),
        engine: s
            .about("Its engine, where that differs from the pool's. Absent: the pool's.")
            .string("engine")
            .one_of(&engines)
            .optional(),
        id: None,
    }
}

/// Returns where the page of the endpoint at `address` is.
fn metrics_at(s: &Settings<'_>, address: SocketAddr) -> MetricsAt {
    let port = s
        .about("Port of its metrics page. Absent: the endpoint's own.")
        .u64("metrics_port");
    let port = port.range(1..=65_535).map(u16::try_from);
    let port = port.optional();
    let url = s
        .about(
            "The page's whole address, in place of `metrics_port` and the \
            pool's scheme and path. Absent: by these.",
        )
        .string("metrics_url")
        .max_bytes(2048)
        .hint("write it whole, as in https://10.0.0.1:8443/metrics")
        .map(|text| metrics_url(&text))
        .optional();
    match url {
        Some(_) if port.is_some() => {
            s.problem("has metrics_port and metrics_url", "leave metrics_port out");
            MetricsAt::Address(address)
        }
        Some(url) => MetricsAt::Url(url),
        None => MetricsAt::Address(SocketAddr::new(
            address.ip(),
            port.unwrap_or_else(|| address.port()),
        )),
    }
}

fn metrics_url(text: &str) -> Result<Uri, String> {
    let uri: Uri = text
        .parse()
        .map_err(|error| format!("is no URL: {error}"))?;
    let host = uri.host().unwrap_or_default();
    if !matches!(uri.scheme_str(), Some("http" | "https")) || host.is_empty() {
        return Err("does not begin with http:// or https:// and a host".to_owned());
    }
    if uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        return Err(
            "holds a password, which nobody reads; use `scrape.bearer_token_file`".to_owned(),
        );
    }
    match uri.path() {
        "" | "/" => Err("has no path".to_owned()),
        _ => Ok(uri),
    }
}
