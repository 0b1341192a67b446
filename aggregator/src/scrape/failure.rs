//! Why a scrape brings no sample, and what an operator can do about it.

use super::redirect::Refused;
use crate::metrics::labels::Scraped;
use std::time::Duration;
use trimtab_estimate::Missed;

/// Why there is no sample.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("no connection: {0}")]
    Connect(String),
    #[error("TLS: {0}")]
    Tls(String),
    /// A problem with our own files. No request was sent.
    #[error("TLS: {0}")]
    OwnTls(String),
    #[error(
        "what answers there speaks TLS and no plain HTTP; write `scrape.scheme: https`, or https:// in `metrics_url`"
    )]
    NeedsTls,
    #[error(
        "what answers there speaks HTTP/2 alone, and pages are asked for by HTTP/1.1; write the port of the page as `metrics_port`, or let the server speak HTTP/1.1 too"
    )]
    Http2Only,
    #[error(
        "what answers there is no HTTP/1.1 ({0}); where it speaks HTTP/2 alone, as servers of gRPC do, write the port of its page as `metrics_port`"
    )]
    NoHttp(String),
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error(
        "the server answers, and its page takes more than {} ms; it is used when it comes, as old as it is then; raise `scrape.timeout`, or find out what keeps it",
        .0.as_millis()
    )]
    Late(Duration),
    #[error("status {0}; {hint}", hint = hint(*.0))]
    Status(u16),
    #[error(transparent)]
    Redirect(#[from] Refused),
    #[error("the page is compressed ({0}), which nobody asked for; turn that off for this page")]
    Compressed(String),
    #[error("`scrape.bearer_token_file` {0}: {1}")]
    Token(String, String),
    #[error("the page is larger than {0} bytes; raise `scrape.max_page_bytes`")]
    TooLarge(usize),
    #[error("the answer broke off: {0}")]
    Broken(String),
    #[error(
        "the page of {0} bytes has neither queue, batch nor KV usage of a known engine{1}; check `scrape.path` and `scrape.engine`"
    )]
    NoSignals(usize, Looks),
}

/// What a page without signals looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Looks(&'static str);

impl Looks {
    pub(super) fn of(page: &[u8]) -> Self {
        let text = page.trim_ascii_start();
        Self(match page {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
                ", it looks like UTF-16, which no exporter writes"
            }
            _ if text.is_empty() => ", it is empty",
            _ if text.starts_with(b"<") => ", it looks like HTML, perhaps of a login or a proxy",
            _ if text.starts_with(b"[") || is_json(text) => ", it looks like JSON",
            _ => "",
        })
    }
}

impl std::fmt::Display for Looks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

/// Whether the text begins an object of JSON: `{}`, or a name in quotes and a colon. A line of
/// Prometheus' format may also begin with a name in braces and quotes.
fn is_json(text: &[u8]) -> bool {
    let Some(inside) = text.strip_prefix(b"{") else {
        return false;
    };
    let mut parts = inside.trim_ascii_start().split(|byte| *byte == b'"');
    let (before, _name, after) = (parts.next(), parts.next(), parts.next());
    match (before, after) {
        (Some(b""), Some(after)) => after.trim_ascii_start().starts_with(b":"),
        (Some(rest), _) => rest.starts_with(b"}"),
        _ => false,
    }
}

/// Returns what an operator can do about a status.
fn hint(status: u16) -> &'static str {
    match status {
        401 | 403 => "the page is for those who say who they are; set `scrape.bearer_token_file`",
        _ => "check `scrape.path` and that the server exports metrics",
    }
}

impl Failure {
    /// Says what the failure means for the server behind the page. `None`: nothing, since no
    /// request was sent.
    pub(crate) fn missed(&self) -> Option<Missed> {
        match self {
            Self::Connect(_) | Self::Timeout(_) => Some(Missed::Unreachable),
            Self::Late(_) => Some(Missed::Late),
            Self::Token(..) | Self::OwnTls(_) => None,
            _ => Some(Missed::Unreadable),
        }
    }

    /// Returns how the scrape counts.
    pub(crate) fn counts_as(&self) -> Scraped {
        match self {
            Self::Connect(_) => Scraped::Connect,
            Self::Tls(_) | Self::OwnTls(_) | Self::NeedsTls => Scraped::Tls,
            Self::Timeout(_) => Scraped::Timeout,
            Self::Late(_) => Scraped::Late,
            Self::Status(_) => Scraped::Status,
            Self::Redirect(_) => Scraped::Redirect,
            Self::Compressed(_) => Scraped::Compressed,
            Self::Token(..) => Scraped::Token,
            Self::TooLarge(_) => Scraped::TooLarge,
            Self::Broken(_) | Self::NoHttp(_) | Self::Http2Only => Scraped::Broken,
            Self::NoSignals(..) => Scraped::NoSignals,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_page_is_named() {
        for (page, says) in [
            ("", "empty"),
            (" \n", "empty"),
            ("<!doctype html>", "HTML"),
            ("\n<html>", "HTML"),
            ("{\"status\": \"success\"}", "JSON"),
            ("{ \"a\" : 1}", "JSON"),
            ("{}", "JSON"),
            ("[1]", "JSON"),
        ] {
            let told = Failure::NoSignals(page.len(), Looks::of(page.as_bytes())).to_string();
            assert!(told.contains(says), "{page}: {told}");
        }
        for bytes in [&b"\xff\xfev\0"[..], b"\xfe\xff\0v"] {
            assert!(Looks::of(bytes).to_string().contains("UTF-16"));
        }
        for page in [
            "up 1\n",
            "# HELP",
            "{\"up\",job=\"a:b\"} 1",
            "{",
            "{\"",
            "{x=\"1\"} 1",
        ] {
            assert_eq!(Looks::of(page.as_bytes()), Looks(""), "{page}");
        }
    }
}
