//! Reads `ip:port`. If the text is something else, says what to write.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Why a text is no address, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAddress {
    /// Why it cannot be used.
    pub reason: &'static str,
    /// What to write instead.
    pub fix: String,
}

impl fmt::Display for NoAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.reason, self.fix)
    }
}

impl std::error::Error for NoAddress {}

/// The port in examples, where the text has none.
const PORT: u16 = 8000;

/// Reads `ip:port`, IPv6 in brackets.
///
/// # Errors
/// Says what the text is instead: a URL, a name, an address without port or brackets, and so on.
pub fn address(text: &str) -> Result<SocketAddr, NoAddress> {
    text.parse().map_err(|_| explain(text))
}

fn explain(text: &str) -> NoAddress {
    let no = |reason, fix: String| NoAddress { reason, fix };
    let write = |address: SocketAddr| format!("write {address}");
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        let host = address(host).map_or_else(|error| error.fix, write);
        return no("is a URL", host);
    }
    if let Ok(trimmed) = text.trim().parse() {
        return no("has blanks around it", write(trimmed));
    }
    if let Some(ip) = ip(text) {
        return no("has no port", write(SocketAddr::new(ip, PORT)));
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let number: Option<u16> = port.parse().ok();
    if host.is_empty() || text.bytes().all(|byte| byte.is_ascii_digit()) {
        let port = number.or_else(|| text.parse().ok()).unwrap_or(PORT);
        return no("has no address before the port", example(port));
    }
    if text.contains(',') || text.split_ascii_whitespace().nth(1).is_some() {
        return no("is more than one address", example(PORT));
    }
    if text.contains('%') {
        let fix = "write an address without one, as in [2001:db8::1]:8000";
        return no(
            "has a zone, which means nothing on another machine",
            fix.to_owned(),
        );
    }
    let is_ipv6 = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    if text.bytes().filter(|byte| *byte == b':').count() > 1 && text.bytes().all(is_ipv6) {
        return no("is IPv6 without brackets", write(unbracketed(text)));
    }
    if ip(host).is_some() {
        return no("has no port from 0 to 65535", example(PORT));
    }
    if host.starts_with('[') {
        return no("is not ip:port", example(PORT));
    }
    if host == "localhost" {
        let local = SocketAddr::from(([127, 0, 0, 1], number.unwrap_or(PORT)));
        return no("is a name and not an IP address", write(local));
    }
    if host.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        return no(
            "is a name and not an IP address",
            example(number.unwrap_or(PORT)),
        );
    }
    no("is not ip:port", example(PORT))
}

fn example(port: u16) -> String {
    format!("write ip:port, as in 10.0.0.1:{port}")
}

/// Reads an address without a port: IPv4, or IPv6 in brackets.
fn ip(text: &str) -> Option<IpAddr> {
    let bracketed = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match bracketed {
        Some(inside) => inside.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse::<std::net::Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// Guesses the address and port of an IPv6 text without brackets. `2001:db8::1:8000` is a whole
/// address by itself. But where a port belongs, its last group is taken as the port, if it looks
/// like one.
fn unbracketed(text: &str) -> SocketAddr {
    let whole: Option<Ipv6Addr> = text.parse().ok();
    let split = text.rsplit_once(':').and_then(|(host, port)| {
        let (host, port): (Ipv6Addr, u16) = (host.parse().ok()?, port.parse().ok()?);
        (whole.is_none() || port >= 1_000 || matches!(port, 80 | 443)).then_some((host, port))
    });
    let example = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let (ip, port) = split.unwrap_or_else(|| (whole.unwrap_or(example), PORT));
    SocketAddr::from((ip, port))
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn what_stands_there_instead_is_named_with_what_to_write() {
        for (text, reason, fix) in [
            (
                "2001:db8::1:8000",
                "IPv6 without brackets",
                "[2001:db8::1]:8000",
            ),
            ("2001:db8::1", "IPv6 without brackets", "[2001:db8::1]:8000"),
            (
                "1:2:3:4:5:6:7:8:90",
                "IPv6 without brackets",
                "[1:2:3:4:5:6:7:8]:90",
            ),
            ("fd00::a:b", "IPv6 without brackets", "[fd00::a:b]:8000"),
            ("::1", "IPv6 without brackets", "[::1]:8000"),
            ("[::1]", "has no port", "[::1]:8000"),
            ("10.0.0.1", "has no port", "10.0.0.1:8000"),
            ("10.0.0.1:", "has no port from", "10.0.0.1:8000"),
            ("10.0.0.1:80000", "has no port from", "10.0.0.1:8000"),
            ("10.0.0.1:http", "has no port from", "10.0.0.1:8000"),
            ("http://10.0.0.1:80/v1", "is a URL", "write 10.0.0.1:80"),
            ("https://vllm", "is a URL", "write ip:port"),
            (" 10.0.0.1:80", "blanks", "10.0.0.1:80"),
            ("localhost:9190", "is a name", "127.0.0.1:9190"),
            ("vllm-0.vllm:8000", "is a name", "as in 10.0.0.1:8000"),
            (":9190", "no address before", "as in 10.0.0.1:9190"),
            ("9190", "no address before", "as in 10.0.0.1:9190"),
            ("", "no address before", "write ip:port"),
            ("10.0.0:80", "is not ip:port", "write ip:port"),
            (
                "10.0.0.1:8000,10.0.0.2:8000",
                "more than one address",
                "10.0.0.1:8000",
            ),
            ("10.0.0.1:80 10.0.0.2:80", "more than one", "10.0.0.1:8000"),
            ("[fe80::1%eth0]:8000", "has a zone", "[2001:db8::1]:8000"),
            ("fe80::1%eth0", "has a zone", "[2001:db8::1]:8000"),
            ("[2001:db8::g]:8000", "is not ip:port", "10.0.0.1:8000"),
            ("[10.0.0.1]:8000", "is not ip:port", "10.0.0.1:8000"),
        ] {
            let error = address(text).unwrap_err();
            assert!(error.reason.contains(reason), "{text}: {error}");
            assert!(error.fix.contains(fix), "{text}: {error}");
        }
        assert!(address("[2001:db8::1]:8000").is_ok() && address("10.0.0.1:0").is_ok());
    }
}
