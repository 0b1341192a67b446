//! Says where a table is: at an aggregator or in a file.

use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use hyper::Uri;

/// The aggregator's port unless its configuration sets another.
const PORT: u16 = 9190;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// `http://HOST:PORT`, without a trailing slash.
    Aggregator(String),
    File(PathBuf),
}

impl Source {
    /// Returns a file if one of that name exists, else an address. `http://` may be left out.
    pub(super) fn of(text: &str) -> Result<Self> {
        if text.is_empty() {
            bail!("the source is empty; write http://HOST:PORT or the name of a file");
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return aggregator(scheme, rest.trim_end_matches('/'));
        }
        if Path::new(text).exists() {
            return Ok(Self::File(text.into()));
        }
        let refused = match trimtab_settings::address(text) {
            Ok(address) => return Ok(Self::Aggregator(format!("http://{address}"))),
            Err(refused) => refused,
        };
        if text.parse::<Ipv6Addr>().is_ok() {
            bail!("{text} {refused}");
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            bail!("{text} has no port; write {ip}:{PORT}");
        }
        if text.parse::<u16>().is_ok() {
            bail!(
                "there is no file {text}; for an aggregator on this machine write 127.0.0.1:{text}"
            );
        }
        match text.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() && !host.contains('/') => {
                aggregator("http", text)
            }
            _ => bail!("there is no file {text}; for an aggregator write http://HOST:PORT"),
        }
    }
}

fn aggregator(scheme: &str, rest: &str) -> Result<Source> {
    let url = format!("{scheme}://{rest}");
    if scheme != "http" {
        bail!("{url}: only http:// is spoken here; use a port-forward or a local proxy");
    }
    let Ok(uri) = url.parse::<Uri>() else {
        bail!("{url} is no URL; write http://HOST:PORT");
    };
    let host = uri.host().unwrap_or_default();
    if host.is_empty() {
        bail!("{url} names no host; write http://HOST:PORT");
    }
    if uri.path() != "/" || uri.query().is_some() {
        let authority = uri.authority().map_or(host, |authority| authority.as_str());
        bail!(
            "{url} has a path, which is asked for by itself; write http://{authority} and choose the pool with --pool"
        );
    }
    Ok(Source::Aggregator(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_no_scheme_and_a_file_that_is_there_goes_first() {
        let url = |text: &str| Source::Aggregator(text.to_owned());
        for (text, expected) in [
            ("127.0.0.1:9190", "http://127.0.0.1:9190"),
            ("[::1]:9190", "http://[::1]:9190"),
            ("localhost:9190", "http://localhost:9190"),
            ("http://a.b:9190/", "http://a.b:9190"),
        ] {
            assert_eq!(Source::of(text).unwrap(), url(expected), "{text}");
        }
        assert_eq!(
            Source::of("Cargo.toml").unwrap(),
            Source::File("Cargo.toml".into())
        );
    }

    #[test]
    fn what_is_neither_is_told_what_to_write() {
        for (text, fix) in [
            ("10.0.0.1", "write 10.0.0.1:9190"),
            ("9190", "write 127.0.0.1:9190"),
            ("::1:9190", "write [::1]:9190"),
            ("no-such-file", "for an aggregator write http://HOST:PORT"),
            ("/no/such:9190", "for an aggregator write http://HOST:PORT"),
            ("https://a:1", "only http://"),
            ("http://a:1/v1/pools/chat/table", "write http://a:1 and"),
            ("http://:80", "names no host"),
            ("http://a b", "is no URL"),
            ("", "http://HOST:PORT"),
        ] {
            let error = Source::of(text).unwrap_err().to_string();
            assert!(error.contains(fix), "{text}: {error}");
        }
    }
}
