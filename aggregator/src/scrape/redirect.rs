//! Follows redirects of a page, within its server only.

use hyper::Uri;
use std::net::IpAddr;

/// How many redirects are followed. From `/metrics` to `/metrics/` is one.
const MOST: usize = 3;
/// How many characters of a server's `Location` are shown.
const SHOWN: usize = 200;

/// Why a redirect is not followed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error(
        "the server sends us to {0:?}, which is not on the same host and port; write that as the endpoint's `metrics_url` if it is this server's page"
    )]
    Elsewhere(String),
    #[error(
        "the server sends us to {0:?}; write `scrape.scheme: https`, or that as the endpoint's `metrics_url`"
    )]
    Secure(String),
    #[error(
        "the server sends us in a circle, from {0:?} to {1:?}; set `scrape.path` to a page that it shows, or `scrape.bearer_token_file` if it wants a login"
    )]
    Circle(String, String),
    #[error(
        "the server sends us on more than {most} times, at last to {0:?}; set `scrape.path` to where the page is",
        most = MOST
    )]
    TooMany(String),
    #[error(
        "the server sends us to {0:?}, which is no address; set `scrape.path` to where the page is"
    )]
    NoAddress(String),
}

/// The way to a page, over redirects.
#[derive(Debug)]
pub(super) struct Way {
    /// The addresses that sent us on, first to last.
    been: Vec<Uri>,
    /// The address to ask next.
    pub(super) at: Uri,
}

impl Way {
    pub(super) fn new(at: Uri) -> Self {
        let been = Vec::new();
        Self { been, at }
    }

    /// Follows `location`, the header of the answer from the current address. Refuses another
    /// server: it would get our credentials and answer for this one.
    pub(super) fn follow(&mut self, location: &[u8]) -> Result<(), Refused> {
        let location = String::from_utf8_lossy(location);
        let location = location.trim();
        let shown = || location.chars().take(SHOWN).collect::<String>();
        let no_address = || Refused::NoAddress(shown());
        let to = resolved(location, &self.at).ok_or_else(no_address)?;
        if !is_same_host(&to, &self.at) {
            return Err(Refused::Elsewhere(shown()));
        }
        match (self.at.scheme_str(), to.scheme_str()) {
            (Some("http"), Some("https")) => return Err(Refused::Secure(shown())),
            (from, to_scheme) if from != to_scheme || port(&to) != port(&self.at) => {
                return Err(Refused::Elsewhere(shown()));
            }
            _ => {}
        }
        // The host is written as before, so that the connection is kept.
        let mut parts = self.at.clone().into_parts();
        parts.path_and_query = to.into_parts().path_and_query;
        let to = Uri::from_parts(parts).map_err(|_| no_address())?;
        let from = std::mem::replace(&mut self.at, to);
        let path_of = |uri: &Uri| {
            uri.path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned()
        };
        let (from_path, to_path) = (path_of(&from), path_of(&self.at));
        self.been.push(from);
        if self.been.contains(&self.at) {
            return Err(Refused::Circle(from_path, to_path));
        }
        match self.been.len() > MOST {
            true => Err(Refused::TooMany(to_path)),
            false => Ok(()),
        }
    }
}

/// Resolves a reference by RFC 3986, section 5.2. `None`: the result is not an address for HTTP.
fn resolved(reference: &str, base: &Uri) -> Option<Uri> {
    let (reference, _fragment) = reference.split_once('#').unwrap_or((reference, ""));
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    if has_scheme(reference) {
        let uri: Uri = reference.parse().ok()?;
        return (uri.scheme().is_some() && uri.host().is_some()).then_some(uri);
    }
    if reference.starts_with("//") {
        return format!("{scheme}:{reference}").parse().ok();
    }
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference, None),
    };
    let (path, query) = match path {
        "" => (base.path().to_owned(), query.or_else(|| base.query())),
        _ if path.starts_with('/') => (without_dots(path), query),
        _ => {
            let (folder, _) = base.path().rsplit_once('/').unwrap_or_default();
            (without_dots(&format!("{folder}/{path}")), query)
        }
    };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{scheme}://{authority}{path}{query}").parse().ok()
}

fn has_scheme(reference: &str) -> bool {
    let end = reference.find([':', '/', '?']).unwrap_or(reference.len());
    let (name, rest) = reference.split_at(end);
    let is_name = |name: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        name.starts_with(|char: char| char.is_ascii_alphabetic()) && name.bytes().all(plain)
    };
    rest.starts_with(':') && is_name(name)
}

/// Resolves `.` and `..` in a path that begins with `/`.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                // The result still ends with `/`.
                if is_last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

fn is_same_host(a: &Uri, b: &Uri) -> bool {
    let name = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    let ip = |name: &Option<String>| {
        let name = name.as_deref()?.trim_matches(['[', ']']);
        name.parse::<IpAddr>().ok()
    };
    let (a, b) = (name(a), name(b));
    a == b || ip(&a).is_some_and(|address| Some(address) == ip(&b))
}

fn port(uri: &Uri) -> u16 {
    let is_tls = uri.scheme_str() == Some("https");
    uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(at: &str) -> Way {
        Way::new(at.parse().expect("an address"))
    }

    #[test]
    fn whatever_stays_on_the_server_is_followed_as_rfc_3986_reads_it() {
        let base = "http://10.0.0.1:8000/a/b/metrics?old=1";
        for (location, to) in [
            ("/x/metrics", "/x/metrics"),
            ("x/metrics", "/a/b/x/metrics"),
            ("./x/metrics", "/a/b/x/metrics"),
            ("../m/metrics", "/a/m/metrics"),
            ("../../../../m", "/m"),
            ("/a/./b/../c/..", "/a/"),
            ("metrics/", "/a/b/metrics/"),
            ("metrics:8000", "elsewhere"),
            ("./metrics:8000", "/a/b/metrics:8000"),
            ("?format=prom", "/a/b/metrics?format=prom"),
            ("x?a=/../b#c", "/a/b/x?a=/../b"),
            ("/x#?y", "/x"),
            (" /x ", "/x"),
            ("//10.0.0.1:8000/x", "/x"),
            ("http://10.0.0.1:8000/x?y", "/x?y"),
            ("HTTP://10.0.0.1:8000", "/"),
            ("http://user@10.0.0.1:8000/x", "/x"),
        ] {
            let mut way = way(base);
            let followed = way.follow(location.as_bytes());
            if to == "elsewhere" {
                assert!(followed.is_err(), "{location}");
                continue;
            }
            assert_eq!(followed, Ok(()), "{location}");
            assert_eq!(way.at.to_string(), format!("http://10.0.0.1:8000{to}"));
        }
        for (base, location) in [
            ("http://vllm.svc/metrics", "http://VLLM.svc:80/metrics/"),
            ("https://[::1]/metrics", "https://[0:0::1]:443/metrics/"),
        ] {
            assert_eq!(way(base).follow(location.as_bytes()), Ok(()), "{location}");
        }
    }

    #[test]
    fn other_servers_and_what_is_no_address_are_refused_with_what_to_do() {
        for (base, location, says) in [
            (
                "http://10.0.0.1:8000/m",
                "http://10.0.0.2:8000/m",
                "not on the same host",
            ),
            (
                "http://10.0.0.1:8000/m",
                "http://10.0.0.1:8001/m",
                "`metrics_url`",
            ),
            (
                "http://10.0.0.1:8000/m",
                "//10.0.0.1/m",
                "not on the same host and port",
            ),
            (
                "http://10.0.0.1:8000/m",
                "http://localhost:8000/m",
                "`metrics_url`",
            ),
            (
                "https://10.0.0.1/m",
                "http://10.0.0.1/m",
                "not on the same host",
            ),
            (
                "http://10.0.0.1:8000/m",
                "https://10.0.0.1:8000/m",
                "`scrape.scheme: https`",
            ),
            (
                "http://10.0.0.1:8000/m",
                "https://10.0.0.1/m",
                "`metrics_url`",
            ),
            (
                "http://10.0.0.1:8000/m",
                "https://10.0.0.2/m",
                "not on the same host",
            ),
            ("http://10.0.0.1:8000/m", "mailto:a@b", "no address"),
            ("http://10.0.0.1:8000/m", "http://", "no address"),
            ("http://10.0.0.1:8000/m", "/a b", "no address"),
            (
                "http://10.0.0.1:8000/m",
                "",
                "in a circle, from \"/m\" to \"/m\"",
            ),
            ("http://10.0.0.1:8000/m", "#top", "in a circle"),
        ] {
            let refused = way(base).follow(location.as_bytes()).expect_err(location);
            assert!(refused.to_string().contains(says), "{location}: {refused}");
        }
    }

    #[test]
    fn circles_are_told_from_ways_that_are_too_long() {
        let mut circle = way("http://a/metrics");
        assert_eq!(circle.follow(b"/login"), Ok(()));
        let refused = Refused::Circle("/login".into(), "/metrics".into());
        assert_eq!(circle.follow(b"/metrics"), Err(refused));
        let mut long = way("http://a/0");
        (1..=3).for_each(|hop| assert_eq!(long.follow(format!("/{hop}").as_bytes()), Ok(())));
        assert_eq!(long.follow(b"/4"), Err(Refused::TooMany("/4".into())));
    }
}
