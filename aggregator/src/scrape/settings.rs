//! Settings of a pool's scrapes.

use crate::members::text::host_name;
use crate::scrape::page::Engine;
use std::path::{Path, PathBuf};
use std::time::Duration;
use trimtab_settings::Settings;

/// How the endpoints of a pool are scraped.
#[derive(Debug, Clone, PartialEq)]
pub struct Scrape {
    /// Time between two scrapes of one endpoint.
    pub interval: Duration,
    /// The same after a page without waiting or running requests.
    pub idle_interval: Duration,
    /// Time within which a page should come. The scraper waits longer for a slow server.
    pub timeout: Duration,
    /// Path of the page, with an optional query.
    pub path: String,
    /// Whether pages are asked for over TLS.
    pub https: bool,
    /// Settings of TLS, also for pages whose `metrics_url` begins with https.
    pub tls: Tls,
    /// File with a token that is sent as `Authorization: Bearer`. Absent: no token is sent.
    pub bearer_token_file: Option<PathBuf>,
    /// The engine of all endpoints. Absent: found from each page.
    pub engine: Option<&'static Engine>,
    /// Size of the largest page, in bytes.
    pub max_page_bytes: usize,
    /// How many scrapes may run at a time, apart from those that take longer than the timeout.
    pub concurrency: usize,
    /// Whether to ask for the needed series alone (`name[]`), where the server can select.
    pub select: bool,
}

/// Which certificates are used and trusted for pages over TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// File with certificates of CAs, PEM. Absent: the system's.
    pub ca_file: Option<PathBuf>,
    /// The name that servers' certificates must have. Absent: the address or name that is asked.
    pub server_name: Option<String>,
    /// Whether any certificate is accepted.
    pub insecure_skip_verify: bool,
    /// Files with our own certificate and its key, PEM, for servers that ask for one.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Default for Scrape {
    fn default() -> Self {
        let interval = Duration::from_millis(200);
        Self {
            interval,
            idle_interval: interval,
            timeout: Duration::from_secs(1),
            path: "/metrics".into(),
            https: false,
            tls: Tls::default(),
            bearer_token_file: None,
            engine: None,
            max_page_bytes: 4 * 1024 * 1024,
            concurrency: 256,
            select: true,
        }
    }
}

impl Tls {
    pub(crate) fn read(s: &Settings<'_>) -> Self {
        let file = |name: &'static str, about| {
            let path = s.about(about).string(name).max_bytes(4096);
            path.optional().map(PathBuf::from)
        };
        let certificate = "Our own certificate, for servers that ask for one; PEM. Absent: none.";
        let key = "Its key; PEM. Absent: none.";
        let client = match (file("cert_file", certificate), file("key_file", key)) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                s.problem("has one of cert_file and key_file", "set both, or neither");
                None
            }
        };
        let tls = Self {
            ca_file: file(
                "ca_file",
                "Certificates of the CAs that sign the servers', or the one that a server signed itself; PEM. Absent: the system's.",
            ),
            server_name: s
                .about(
                    "A name in the servers' certificates, where these do not have the \
                    address that is asked. Absent: that address.",
                )
                .string("server_name")
                .max_bytes(253)
                .check(|name| host_name(name))
                .optional(),
            insecure_skip_verify: s
                .about(
                    "Whether any certificate will do. Then anybody in between can \
                    read the token and write the page.",
                )
                .bool("insecure_skip_verify")
                .default(false),
            client,
        };
        if tls.insecure_skip_verify && tls.ca_file.is_some() {
            s.problem(
                "has ca_file, and insecure_skip_verify, which ignores it",
                "leave one of them out",
            );
        }
        tls
    }
}

impl Scrape {
    /// Returns the files that scraping reads, each with the name of its field.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let client = self.tls.client.as_ref();
        [
            ("bearer_token_file", self.bearer_token_file.as_ref()),
            ("tls.ca_file", self.tls.ca_file.as_ref()),
            ("tls.cert_file", client.map(|(certificate, _)| certificate)),
            ("tls.key_file", client.map(|(_, key)| key)),
        ]
        .into_iter()
        .filter_map(|(field, path)| Some((field, path?.as_path())))
    }

    pub(crate) fn read(s: &Settings<'_>) -> Self {
        let default = Self::default();
        let ms = Duration::from_millis;
        let interval = s
            .about(
                "Time between two scrapes of one endpoint. Engines set their \
                gauges once per step, so faster brings nothing.",
            )
            .duration("interval")
            .range(ms(20)..=ms(60_000))
            .default(default.interval);
        let path = s
            .about(
                "Path of the page, with an optional query. trtllm-serve: \
                `/prometheus/metrics`; SGLang may serve \
                `/v1/loads?include=core&format=prometheus`.",
            )
            .string("path");
        let path = path.max_bytes(1024).check(|path| {
            let uri = path
                .parse::<hyper::Uri>()
                .map_err(|error| error.to_string())?;
            if path.starts_with('/') && uri.authority().is_none() {
                Ok(())
            } else {
                Err("is not a path from /".to_owned())
            }
        });
        let engines: Vec<(&str, Option<&'static Engine>)> = Engine::ALL
            .into_iter()
            .map(|engine| (engine.name, Some(engine)))
            .chain([("auto", None)])
            .collect();
        Self {
            interval,
            idle_interval: s
                .about_as(
                    "The same while an endpoint has nothing to do. Longer spares idle \
                    servers. The least is `interval`, whatever its value.",
                    "a span of time",
                    "`interval`",
                )
                .duration("idle_interval")
                .range(interval..=ms(60_000))
                .default(interval),
            timeout: s
                .about(
                    "A page that takes longer is late: it is waited for up to 10 s, \
                    and used as old as it is then.",
                )
                .duration("timeout")
                .range(ms(10)..=ms(30_000))
                .default(default.timeout),
            path: path
                .hint("write a path like /metrics")
                .default(default.path),
            https: s
                .about("How pages are asked for.")
                .string("scheme")
                .one_of(&[("http", false), ("https", true)])
                .default(default.https),
            tls: Tls::read(
                &s.about(
                    "With https, whom to trust. Files are read again when a server is \
                    refused, so they may be renewed.",
                )
                .section("tls"),
            ),
            bearer_token_file: s
                .about(
                    "File with a token that is sent as `Authorization: Bearer`, to \
                    servers that show their page to nobody else. Read anew for each \
                    scrape. Absent: no token is sent.",
                )
                .string("bearer_token_file")
                .max_bytes(4096)
                .optional()
                .map(PathBuf::from),
            engine: s
                .about("The engine of all endpoints. auto: found from each page.")
                .string("engine")
                .one_of(&engines)
                .default(None),
            max_page_bytes: s
                .about("Bytes of the largest page.")
                .usize("max_page_bytes")
                .range(1024..=64 * 1024 * 1024)
                .default(default.max_page_bytes),
            concurrency: s
                .about(
                    "Scrapes at the same time, apart from those that take longer than `timeout`.",
                )
                .usize("concurrency")
                .range(1..=10_000)
                .default(default.concurrency),
            select: s
                .about(
                    "Whether to ask for the needed series alone where the server can: \
                    a quarter of its work (vLLM 0.32).",
                )
                .bool("select")
                .default(default.select),
        }
    }
}
