//! The options of `trimtab proxy`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use hyper::Uri;

/// Host the real filter in a small HTTP/1.1 proxy, to try it without Envoy (not for production)
///
/// Every request goes through filter.wasm in wasmtime. The filter syncs its load table from the
/// aggregator, reads the request, and names the hosts. The proxy sends the request to the first
/// host, or to the next one if a host refuses the connection. A request for which the filter names
/// no host goes to the endpoint with the fewest requests in flight.
///
/// Example:
///
///   trimtab proxy --filter target/trimtab/filter.wasm --config plugin.json \
///     --cluster trimtab_aggregator=http://127.0.0.1:9190 --endpoints 127.0.0.1:8001,127.0.0.1:8002
#[derive(Debug, Clone, Parser)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Address to listen on; with port 0 any free port
    #[arg(long, default_value = "127.0.0.1:8080", value_parser = trimtab_settings::address)]
    pub listen: SocketAddr,
    /// The filter, as built by `cargo xtask wasm`
    #[arg(
        long,
        env = "TRIMTAB_FILTER",
        default_value = "target/trimtab/filter.wasm"
    )]
    pub filter: PathBuf,
    /// The filter's configuration: JSON, as in Envoy's plugin configuration
    #[arg(long)]
    pub config: PathBuf,
    /// A cluster for the filter's call-outs, NAME=http://HOST:PORT; repeat for more
    #[arg(long = "cluster", value_name = "NAME=URL")]
    pub clusters: Vec<Cluster>,
    /// Model servers, IP:PORT,IP:PORT, for requests that the filter leaves alone. Other hosts that
    /// the filter names are skipped. Without this option only the filter's hosts are used, and a
    /// request without a host gets 503
    #[arg(long, value_delimiter = ',', value_parser = trimtab_settings::address)]
    pub endpoints: Vec<SocketAddr>,
    /// Number of threads with one VM each, like Envoy's --concurrency
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: u16,
    /// Longest time to connect to a host, in milliseconds, before the next host is tried
    #[arg(long = "connect-timeout-ms", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub connect_timeout_ms: u64,
    /// Largest part of a body in bytes that the filter may hold; beyond it the answer is 413, like
    /// Envoy's per_connection_buffer_limit_bytes
    #[arg(long, default_value = "32768", value_parser = buffer_limit)]
    pub buffer_limit_bytes: usize,
}

fn buffer_limit(text: &str) -> Result<usize, &'static str> {
    match text.parse() {
        Ok(0) | Err(_) => {
            Err("is not a number of bytes from 1; without room no body could be read")
        }
        Ok(bytes) => Ok(bytes),
    }
}

impl Args {
    /// Returns the connect timeout as a duration.
    #[must_use]
    pub const fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }
}

/// A named destination of call-outs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Name, as in the filter's configuration.
    pub name: String,
    /// Address as `host:port`.
    pub authority: String,
}

impl FromStr for Cluster {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, url) = text.split_once('=').ok_or("write NAME=http://HOST:PORT")?;
        if name.is_empty() {
            return Err("the name before '=' is empty; write NAME=http://HOST:PORT".into());
        }
        let uri: Uri = url
            .parse()
            .map_err(|error| format!("{url:?} is no URL: {error}; write NAME=http://HOST:PORT"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some(_) => return Err(format!("{url:?}: only http:// is spoken here")),
            None => return Err(format!("{url:?} is no URL; write {name}=http://{url}")),
        }
        let authority = uri
            .authority()
            .ok_or_else(|| format!("{url:?} names no host"))?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(format!(
                "{url:?}: leave out the path, the filter's calls have their own"
            ));
        }
        let authority = match authority.port() {
            Some(_) => authority.as_str().to_owned(),
            None => format!("{}:80", authority.host()),
        };
        Ok(Self {
            name: name.to_owned(),
            authority,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_cluster_is_a_name_and_a_plain_url() {
        let parse = |text: &str| {
            text.parse::<Cluster>()
                .map(|cluster| (cluster.name, cluster.authority))
        };
        assert_eq!(parse("a=http://h:1"), Ok(("a".into(), "h:1".into())));
        assert_eq!(parse("a=http://[::1]"), Ok(("a".into(), "[::1]:80".into())));
        for (text, reason) in [
            ("a", "write NAME="),
            ("=http://h", "is empty"),
            ("a=https://h", "only http"),
            ("a=127.0.0.1:9", "write a=http://127.0.0.1:9"),
            ("a=h:9", "write a=http://h:9"),
            ("a=http://h/x", "leave out the path"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
