//! The section `discovery` of a pool.

use super::Target;
use super::dns::Family;
use super::file::{self, printable};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use trimtab_settings::Settings;

/// Where a pool's endpoints come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discovery {
    /// A YAML or JSON file, read again when it changes.
    File {
        /// Its path.
        path: PathBuf,
        /// How often it is looked at.
        interval: Duration,
    },
    /// The A and AAAA records of a name.
    Dns {
        /// The name.
        host: String,
        /// Port of every endpoint.
        port: u16,
        /// Hardware class of every endpoint.
        class: String,
        /// Which of its addresses are endpoints.
        family: Family,
        /// How often the name is resolved.
        interval: Duration,
    },
    /// The list itself.
    Static(Vec<Target>),
}

impl Discovery {
    /// Reads it.
    pub(crate) fn read(s: &Settings<'_>) -> Self {
        let hint =
            "write one of `file: {path: ...}`, `dns: {host: ..., port: ...}` or `endpoints: [...]`";
        let discovery = s.required_section("discovery", hint);
        let ms = Duration::from_millis;
        let source = discovery.object("file");
        let source = source
            .hint("write `file: {path: endpoints.yaml}`")
            .optional();
        let followed = source.map(|source| Self::File {
            path: source.string("path").max_bytes(4096).required().into(),
            interval: source
                .duration("interval")
                .range(ms(10)..=ms(600_000))
                .default(ms(1_000)),
        });
        let name = discovery.object("dns");
        let name = name.hint("write `dns: {host: .., port: ..}`").optional();
        let dns = name.map(|dns| Self::Dns {
            host: dns
                .string("host")
                .max_bytes(253)
                .check(|host| host_name(host))
                .hint("write the name alone, as in vllm.default.svc; its port goes to `port`")
                .required(),
            port: dns
                .u64("port")
                .range(1..=65_535)
                .map(u16::try_from)
                .required(),
            class: dns
                .string("class")
                .check(|text| printable(text))
                .default(String::new()),
            family: dns
                .string("family")
                .one_of(&[
                    ("auto", Family::Auto),
                    ("ipv4", Family::Ipv4),
                    ("ipv6", Family::Ipv6),
                    ("any", Family::Any),
                ])
                .default(Family::Auto),
            interval: dns
                .duration("interval")
                .range(ms(100)..=ms(600_000))
                .default(ms(5_000)),
        });
        let listed = file::listed(&discovery).optional();
        let listed = listed.map(|list| Self::Static(file::targets(&discovery, &list)));
        let mut given: Vec<Self> = [followed, dns, listed].into_iter().flatten().collect();
        if given.len() > 1 {
            discovery.problem("names more than one source", hint);
        }
        given.pop().unwrap_or_else(|| {
            // One that is there and wrong is told already.
            let written = s.value("discovery").optional().and_then(Value::as_object);
            let sources = ["file", "dns", "endpoints"];
            if written.is_some_and(|fields| !sources.iter().any(|name| fields.contains_key(*name)))
            {
                discovery.problem("names no source of endpoints", hint);
            }
            Self::Static(Vec::new())
        })
    }
}

/// What a resolver takes: a name, or an address.
pub(crate) fn host_name(text: &str) -> Result<(), &'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.parse::<std::net::IpAddr>().is_ok() || text.bytes().all(allowed) {
        Ok(())
    } else {
        Err("is not the name of a host")
    }
}
