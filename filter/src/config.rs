//! The plugin's configuration: JSON of the proxy's plugin config -> [`Config`].
//!
//! Every problem is reported at once, each with path, value, reason and fix; unknown fields are refused.
//!
//! ```
//! let json = br#"{"pool": "chat", "aggregator": {"cluster": "trimtab_aggregator"}}"#;
//! let config = trimtab_filter::Config::parse(json).unwrap();
//! assert_eq!(config.decide_after_bytes, 16 * 1024);
//! ```

use serde_json::Value;
use trimtab_settings::{Problems, Settings};

/// Larger configurations are refused unread.
const MAX_CONFIG_BYTES: usize = 64 * 1024;
/// Ends of the paths of completion requests, as the servers and gateways spell them.
const PATHS: [&str; 10] = [
    "/v1/completions",
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/rerank",
    "/v1/score",
    "/v1/messages",
    "/generate",
    "/generate_stream",
    "/inference/v1/generate",
];

/// Checked configuration of one plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `pool`: name of the pool at the aggregator.
    pub pool: String,
    /// `aggregator.cluster`: the proxy's cluster that leads to the aggregator.
    pub cluster: String,
    /// `aggregator.authority`: the Host header of sync calls. `trimtab-aggregator` by default: a cluster's name is not always one.
    pub authority: String,
    /// `aggregator.wait`: how long the aggregator may hold its answer when it has no news. 1 s to 60 s, 10 s by default.
    pub wait_ms: u32,
    /// `tick`: how often each worker looks for news. 10 ms to 1 s, 100 ms by default.
    pub tick_ms: u32,
    /// `table_max_age`: an older table is not used. 100 ms to 60 s, 2 s by default.
    pub table_max_age_ms: u64,
    /// `decide_after_bytes`: how much of a body is held back and read at most. 16 KiB by default, which fits below the 32 KiB buffer
    /// limit of hardened listeners; more only where the listener is known to allow it.
    pub decide_after_bytes: usize,
    /// `max_hosts`: hosts in the destination header; the later ones serve retries. 1 to 3, 3 by default.
    pub max_hosts: usize,
    /// `destination_header`: where the chosen hosts go. Lower case.
    pub destination_header: String,
    /// `explain_header`: a response header that says where a request went and why; absent (the default): none. Lower case.
    pub explain_header: Option<String>,
    /// `model_header`: a request header that names the model and goes before the body's `model`.
    pub model_header: Option<String>,
    /// `session_header`: a request header that names the conversation.
    pub session_header: Option<String>,
    /// `paths`: a POST whose path ends with one of these is a completion request.
    pub paths: Vec<String>,
    /// `seed` of random choices, for tests; absent: differs per worker and start.
    pub seed: Option<u64>,
}

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// Every problem of the text.
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

    /// Checks a configuration that has been parsed, for instance out of the proxy's YAML.
    ///
    /// # Errors
    /// Every problem of the value.
    pub fn read(value: &Value) -> Result<Self, Problems> {
        let s = Settings::new(value);
        let pool = s
            .string("pool")
            .max_bytes(253)
            .check(|name| path_segment(name))
            .hint("name a pool of the aggregator")
            .required();
        let aggregator = s.required_section("aggregator", r#"write {"cluster": "NAME"}"#);
        let cluster = aggregator
            .string("cluster")
            .max_bytes(1024)
            .hint("name the proxy's cluster that leads to the aggregator")
            .required();
        let authority = aggregator
            .string("authority")
            .max_bytes(253)
            .check(|text| visible_ascii(text))
            .optional();
        let wait_ms = aggregator
            .duration("wait")
            .as_ms()
            .range(1_000..=60_000)
            .default(10_000);
        let config = Self {
            authority: authority.unwrap_or_else(|| "trimtab-aggregator".into()),
            pool,
            cluster,
            wait_ms: u32::try_from(wait_ms).unwrap_or(10_000),
            tick_ms: u32::try_from(s.duration("tick").as_ms().range(10..=1_000).default(100))
                .unwrap_or(100),
            table_max_age_ms: s
                .duration("table_max_age")
                .as_ms()
                .range(100..=60_000)
                .default(2_000),
            decide_after_bytes: s
                .usize("decide_after_bytes")
                .range(1_024..=1_048_576)
                .default(16_384),
            max_hosts: s.usize("max_hosts").range(1..=3).default(3),
            destination_header: header(&s, "destination_header")
                .unwrap_or_else(|| "x-gateway-destination-endpoint".into()),
            explain_header: header(&s, "explain_header"),
            model_header: header(&s, "model_header"),
            session_header: header(&s, "session_header"),
            paths: s
                .strings("paths")
                .check(|paths| all_paths(paths))
                .hint("list ends of paths, such as \"/v1/completions\"")
                .default(PATHS.map(str::to_owned).to_vec()),
            seed: s.u64("seed").optional(),
        };
        s.finish(config)
    }

    /// Whether a POST to this path (without its query) is a completion request.
    pub(crate) fn is_completion_path(&self, path: &[u8]) -> bool {
        self.paths.iter().any(|end| path.ends_with(end.as_bytes()))
    }

    /// Headers that only this filter may set, so that nothing a client sends reaches the load balancer or the access log.
    pub(crate) fn own_headers(&self) -> impl Iterator<Item = &str> {
        [
            Some(self.destination_header.as_str()),
            self.explain_header.as_deref(),
        ]
        .into_iter()
        .flatten()
    }

    /// A set with the header's place in [`Self::own_headers`]; empty: it is not one of them.
    pub(crate) fn own_header(&self, name: &[u8]) -> u8 {
        let matches = |own: &str| u8::from(name.eq_ignore_ascii_case(own.as_bytes()));
        self.own_headers()
            .enumerate()
            .map(|(place, own)| matches(own) << place)
            .sum()
    }
}

fn header(s: &Settings<'_>, name: &'static str) -> Option<String> {
    s.string(name)
        .max_bytes(128)
        .map(|name| {
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if !name.bytes().all(token) {
                return Err("is not a header name");
            }
            Ok(name.to_ascii_lowercase())
        })
        .hint("use letters, digits and dashes, such as x-session-id")
        .optional()
}

/// The pool's name stands in a URL and in metric names.
fn path_segment(name: &str) -> Result<(), &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.bytes().all(plain) {
        Ok(())
    } else {
        Err("has characters other than letters, digits, '-', '_' and '.'")
    }
}

fn visible_ascii(text: &str) -> Result<(), &'static str> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err("has spaces or characters that are not ASCII")
    }
}

fn all_paths(paths: &[String]) -> Result<(), String> {
    match paths
        .iter()
        .find(|path| !path.starts_with('/') || path.len() > 256)
    {
        None if paths.is_empty() => Err("is empty: no request would ever be placed".into()),
        None if paths.len() > 64 => Err(format!("has {} entries, more than 64", paths.len())),
        None => Ok(()),
        Some(path) => Err(format!(
            "has `{}`, which does not begin with `/` or is longer than 256 bytes",
            path.chars().take(40).collect::<String>()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    impl Config {
        pub(crate) fn example() -> Self {
            Self::parse(br#"{"pool": "chat", "aggregator": {"cluster": "agg"}}"#).unwrap()
        }
    }

    #[test]
    fn two_names_are_enough() {
        let config = Config::example();
        assert_eq!(
            (config.pool.as_str(), config.cluster.as_str()),
            ("chat", "agg")
        );
        assert_eq!(
            (config.max_hosts, config.wait_ms, config.tick_ms),
            (3, 10_000, 100)
        );
        assert_eq!(config.destination_header, "x-gateway-destination-endpoint");
        assert_eq!(config.explain_header, None);
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let problems = Config::parse(
            br#"{"pool": "a/b", "aggregator": {"clutser": "x"}, "tick": "1h", "max_hosts": 4, "explain_header": "a b", "paths": ["x"], "sede": 1}"#,
        )
        .unwrap_err();
        let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
        for (field, mention) in [
            ("pool", "letters"),
            ("aggregator.cluster", "required"),
            ("aggregator.clutser", "cluster"),
            ("tick", "1000"),
            ("max_hosts", "3"),
            ("explain_header", "header name"),
            ("paths", "begin with"),
            ("sede", "seed"),
        ] {
            assert!(
                text.iter()
                    .any(|line| line.starts_with(field) && line.contains(mention)),
                "{field} in {text:#?}"
            );
        }
        assert_eq!(problems.len(), 8, "{text:#?}");
    }

    #[test]
    fn what_is_not_json_says_what_to_write() {
        let problems = Config::parse(b"").unwrap_err();
        assert!(
            problems
                .iter()
                .next()
                .unwrap()
                .to_string()
                .contains(r#""pool""#)
        );
        assert!(Config::parse(&vec![b' '; 100_000]).is_err());
    }

    #[test]
    fn header_names_are_folded_to_lower_case() {
        let config = Config::parse(br#"{"pool": "p", "aggregator": {"cluster": "c"}, "explain_header": "X-Trimtab-Decision"}"#).unwrap();
        assert_eq!(config.explain_header.as_deref(), Some("x-trimtab-decision"));
        assert_eq!(config.own_header(b"X-TRIMTAB-Decision"), 2);
        assert_eq!(config.own_header(b"x-gateway-destination-endpoint"), 1);
        assert_eq!(config.own_header(b"host"), 0);
    }
}
