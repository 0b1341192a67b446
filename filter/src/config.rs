//! The plugin's configuration: JSON of the proxy's plugin config -> [`Config`].
//!
//! Every problem is reported at once, each with path, value, reason and fix. Unknown fields are
//! refused.
//!
//! ```
//! let json = br#"{"pool": "chat", "aggregator": {"cluster": "trimtab_aggregator"}}"#;
//! let config = trimtab_filter::Config::parse(json).unwrap();
//! assert_eq!(config.decide_after_bytes, 16 * 1024);
//! ```

mod clusters;
mod defaults;
pub(crate) mod destination;
mod metric_names;
mod mode;
mod pools;
mod text;

use serde_json::Value;
use trimtab_settings::{Problems, Settings};

use crate::config::destination::Destination;
use crate::facts::SessionCookie;
pub use metric_names::MetricNames;
pub use mode::Mode;
pub use pools::PoolSettings;
pub(crate) use pools::{PoolSet, candidates, choose, go_by_cluster, of_cluster};
pub(crate) use text::header;
use text::{headers, paths, visible_ascii};

/// Bytes of the largest configuration that is read. Larger ones are refused.
const MAX_CONFIG_BYTES: usize = 64 * 1024;

/// How a plugin takes part in placing a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// The plugin does everything by itself. This needs `allow_on_headers_stop_iteration` in the
    /// proxy's plugin configuration.
    #[default]
    Single,
    /// The first of two plugins: sees the body and decides.
    Tap,
    /// The second of two plugins, behind tap in the chain: holds the headers meanwhile and sets the
    /// destination.
    Pick,
}

/// Checked configuration of one plugin. Each field names its setting; [`Config::read`] says what it
/// does, its range and its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `role`. The two plugins of a pair differ only in this setting.
    pub role: Role,
    /// `pool`, or `pools` if there are several. At least one.
    pub pools: Vec<PoolSettings>,
    /// `mode`.
    pub mode: Mode,
    /// `per_route`.
    pub per_route: bool,
    /// `aggregator.cluster`.
    pub cluster: String,
    /// `aggregator.authority`. Not the cluster's name, which need not be a valid authority.
    pub authority: String,
    /// `aggregator.wait`, in milliseconds.
    pub wait_ms: u32,
    /// `tick`, in milliseconds.
    pub tick_ms: u32,
    /// `table_max_age`, in milliseconds.
    pub table_max_age_ms: u64,
    /// `max_ejection`, in milliseconds. 0: no endpoint is left out.
    pub max_ejection_ms: u64,
    /// `decide_after_bytes`. The default fits below the 32 KiB buffer limit of hardened listeners.
    pub decide_after_bytes: usize,
    /// `read_on_bytes`. 0: never.
    pub read_on_bytes: usize,
    /// `decide_within`, in milliseconds.
    pub decide_within_ms: u64,
    /// `max_hosts`. At least one.
    pub max_hosts: usize,
    /// `destination`: how the proxy gets the chosen hosts.
    pub destination: Destination,
    /// `explain_header`. Lower case. `None`: nothing is explained to clients.
    pub explain_header: Option<String>,
    /// `explain_request_header`. Lower case. `None`: all requests are answered with
    /// `explain_header`.
    pub explain_request_header: Option<String>,
    /// `explain_log`.
    pub explain_log: bool,
    /// `model_header`. Lower case. `None`: only the body names the model.
    pub model_header: Option<String>,
    /// `session_header`. Lower case. The first that is present counts. May be empty.
    pub session_headers: Vec<String>,
    /// `session_cookie`. It counts where none of those headers is there.
    pub session_cookie: SessionCookie,
    /// `paths`: ends of paths.
    pub paths: Vec<String>,
    /// `metric_names`.
    pub metric_names: MetricNames,
    /// `seed`. `None`: differs per worker and start.
    pub seed: Option<u64>,
}

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// Returns every problem of the text.
    pub fn parse(json: &[u8]) -> Result<Self, Problems> {
        if json.len() > MAX_CONFIG_BYTES {
            return Err(Problems::one(
                "",
                format!("is {} bytes long, more than {MAX_CONFIG_BYTES}", json.len()),
                "write only the filter's settings",
            ));
        }
        let value: Value = serde_json::from_slice(json).map_err(|error| {
            Problems::one(
                "",
                format!("is not JSON: {error}"),
                r#"write at least {"pool": "NAME", "aggregator": {"cluster": "NAME"}}"#,
            )
        })?;
        Self::read(&value)
    }

    /// Checks a configuration that has been parsed, for example from the proxy's YAML.
    ///
    /// # Errors
    /// Returns every problem of the value.
    pub fn read(value: &Value) -> Result<Self, Problems> {
        let s = Settings::new(value);
        let pools = PoolSettings::read_all(&s);
        let aggregator = s
            .about("Where tables come from.")
            .required_section("aggregator", r#"write {"cluster": "NAME"}"#);
        let cluster = aggregator
            .about("The proxy's cluster that leads to the aggregator.")
            .string("cluster")
            .max_bytes(1024)
            .hint("name the proxy's cluster that leads to the aggregator")
            .required();
        let authority = aggregator
            .about_as("Host header of the calls.", "a text", "trimtab-aggregator")
            .string("authority")
            .max_bytes(253)
            .check(|text| visible_ascii(text))
            .optional();
        let wait_ms = aggregator
            .about("How long the aggregator may hold its answer while there is no newer table.")
            .duration("wait")
            .as_ms()
            .range(1_000..=60_000)
            .default(10_000);
        let role = s
            .about_as(
                "Alone, or one of two plugins where an option of Envoy cannot be \
                set (`deploy/envoy/two-plugins.yaml`). The two differ in this \
                setting alone.",
                "`single`, `tap`, `pick`",
                "single",
            )
            .string("role")
            .map(|name| role(&name))
            .hint("write single, tap or pick")
            .default(Role::Single);
        let tick_ms = s
            .about("How often each worker looks for a newer table and writes its report.")
            .duration("tick")
            .as_ms()
            .range(10..=1_000)
            .default(100);
        let config = Self {
            role,
            authority: authority.unwrap_or_else(|| "trimtab-aggregator".into()),
            pools,
            mode: Mode::read(&s).unwrap_or_default(),
            per_route: s
                .about("Whether the route's metadata `trimtab` may name `pool` and `mode`.")
                .bool("per_route")
                .default(false),
            cluster,
            wait_ms: u32::try_from(wait_ms).unwrap_or(10_000),
            tick_ms: u32::try_from(tick_ms).unwrap_or(100),
            table_max_age_ms: s
                .about("An older table decides nothing but who there is.")
                .duration("table_max_age")
                .as_ms()
                .range(100..=60_000)
                .default(2_000),
            max_ejection_ms: s
                .about(
                    "Longest time for which an endpoint is left out because requests \
                    failed there, or because it asked for that with `Retry-After`. \
                    0s: nobody is.",
                )
                .duration("max_ejection")
                .as_ms()
                .range(0..=600_000)
                .default(60_000),
            decide_after_bytes: s
                .about(
                    "Bytes of a body that are held and read at most. Of \
                    `/v1/responses` up to 512 KiB, until `previous_response_id` or \
                    `conversation` has come: clients write these behind the input. \
                    With more than the listener's buffer limit, larger bodies wait \
                    for `decide_within`.",
                )
                .usize("decide_after_bytes")
                .range(1_024..=1_048_576)
                .default(16_384),
            read_on_bytes: s
                .about(
                    "The same, where system prompt and tools fill `decide_after_bytes`, as \
                    those of coding agents do: the limit doubles up to this, until the first \
                    user message tells which conversation it is. 0: never. Where the \
                    listener's buffer limit is lower, one request a minute waits for \
                    `decide_within`.",
                )
                .usize("read_on_bytes")
                .range(0..=1_048_576)
                .default(131_072),
            decide_within_ms: s
                .about(
                    "How long a body that comes slowly is read. Then the request is \
                    placed by what has come.",
                )
                .duration("decide_within")
                .as_ms()
                .range(100..=60_000)
                .default(1_000),
            max_hosts: s
                .about("Hosts that are named, best first. The later ones serve retries.")
                .usize("max_hosts")
                .range(1..=3)
                .default(3),
            destination: Destination::read(&s),
            explain_header: header(
                s.about_as(
                    "A header of the answer that says where the request went and why. \
                    Clients then see addresses of endpoints. Absent: none.",
                    "header name",
                    "",
                ),
                "explain_header",
            ),
            explain_request_header: header(
                s.about_as(
                    "Only requests with this header are answered with \
                    `explain_header`. Absent: all are.",
                    "header name",
                    "",
                ),
                "explain_request_header",
            ),
            explain_log: s
                .about(
                    "Whether the same text is left for access logs: \
                    `%FILTER_STATE(wasm.trimtab_decision:PLAIN)%`.",
                )
                .bool("explain_log")
                .default(false),
            model_header: header(
                s.about_as(
                    "A request header that names the model. It goes before the body's \
                    `model`. Absent: none.",
                    "header name",
                    "",
                ),
                "model_header",
            ),
            session_headers: headers(
                s.about_as(
                    "Request headers that name the conversation, so that its turns \
                    stay together whatever the body says. The first that is there \
                    counts. May be empty.",
                    "header name, or a list of at most 32",
                    "[below](#headers-of-conversations)",
                ),
                "session_header",
            )
            .unwrap_or_else(|| defaults::SESSION_HEADERS.map(str::to_owned).to_vec()),
            session_cookie: SessionCookie::read(&s),
            paths: s
                .about_as(
                    "A POST whose path, as it is before the route rewrites it, ends \
                    with one of these is a completion request. Others are left \
                    alone. Those with JSON are counted (`trimtab_passed_total`) and \
                    their paths named once in the log.",
                    "list of ends of paths",
                    "[below](#paths-of-completion-requests)",
                )
                .strings("paths")
                .check(|list| paths(list))
                .hint("list ends of paths, such as \"/v1/completions\"")
                .default(defaults::PATHS.map(str::to_owned).to_vec()),
            metric_names: MetricNames::read(&s),
            seed: s
                .about("Seed of random choices, for tests. Absent: by time and worker.")
                .u64("seed")
                .optional(),
        };
        s.finish(config)
    }

    /// Whether a POST to this path (without its query) is a completion request.
    pub(crate) fn is_completion_path(&self, path: &[u8]) -> bool {
        self.paths.iter().any(|end| path.ends_with(end.as_bytes()))
    }

    /// Returns the place of a header in `session_header`. `None`: the header is not in it.
    pub(crate) fn session_place(&self, name: &[u8]) -> Option<usize> {
        let is = |own: &String| name.eq_ignore_ascii_case(own.as_bytes());
        self.session_headers.iter().position(is)
    }

    /// Whether a POST to this request target is a completion request.
    pub(crate) fn is_completion_target(&self, target: &[u8]) -> bool {
        self.is_completion_path(crate::facts::path_of(target))
    }

    /// Returns the pools' names, as the log has them.
    pub(crate) fn pool_names(&self) -> String {
        let names: Vec<&str> = self.pools.iter().map(|pool| pool.name.as_str()).collect();
        names.join(",")
    }

    /// Returns what tap and pick of one pair have in common: their pools and the header that they
    /// set.
    pub(crate) fn pair(&self) -> String {
        [&*self.pool_names(), "@", &self.destination.header].concat()
    }

    /// Headers that only this filter may set. Values from clients must not reach the load balancer
    /// or the access log.
    pub(crate) fn own_headers(&self) -> impl Iterator<Item = &str> {
        [
            Some(self.destination.header.as_str()),
            self.explain_header.as_deref(),
        ]
        .into_iter()
        .flatten()
    }

    /// Returns a bit set with the header's place in [`Self::own_headers`]. Empty: it is not one of
    /// them.
    pub(crate) fn own_header(&self, name: &[u8]) -> u8 {
        let matches = |own: &str| u8::from(name.eq_ignore_ascii_case(own.as_bytes()));
        self.own_headers()
            .enumerate()
            .map(|(place, own)| matches(own) << place)
            .sum()
    }
}

fn role(name: &str) -> Result<Role, &'static str> {
    match name {
        "single" => Ok(Role::Single),
        "tap" => Ok(Role::Tap),
        "pick" => Ok(Role::Pick),
        _ => Err("is none of single, tap and pick"),
    }
}

#[cfg(test)]
mod tests;
