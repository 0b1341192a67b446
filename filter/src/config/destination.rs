//! How the proxy gets the hosts that were chosen, and how the proxy names the host that it took.
//!
//! The header's value is a pure function of the list of hosts, because one plugin may decide (tap)
//! and another one set the header (pick). deploy/envoy/destinations has for each [`Form`] what the
//! proxy needs to read it.

use std::borrow::Cow;

use trimtab_settings::Settings;

use crate::config;

/// The beginning of an address behind an internal listener, in Envoy's spelling:
/// `envoy://LISTENER/ENDPOINT`.
const INTERNAL: &str = "envoy://";

/// What reads the header. That determines the form of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// The cluster's policy `override_host`. All hosts, best first: `ip:port,ip:port`. A retry goes
    /// to the next one.
    #[default]
    OverrideHost,
    /// The filter `stateful_session` in header mode, behind this one. The first host, in base64.
    /// That filter also writes the header on the answer if the request went elsewhere; tap or the
    /// single plugin takes it off again.
    StatefulSession,
    /// A Lua filter behind this one, with deploy/envoy/destinations/destination.lua. The first
    /// host.
    Lua,
    /// A cluster of type `ORIGINAL_DST` that takes its destination from a header. The first host; a
    /// retry goes there again.
    OriginalDst,
}

/// `destination`: the header that names where a request shall go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// `form`: `override_host` (the default), `stateful_session`, `lua` or `original_dst`.
    pub form: Form,
    /// `header`: the header's name, lower case. By default `x-envoy-original-dst-host` with the
    /// form `original_dst`, else `x-gateway-destination-endpoint`.
    pub header: String,
    /// `hbone`: name of the internal listener that leads to endpoints behind a tunnel,
    /// `connect_originate` in Istio. Absent (the default): no endpoint is behind a tunnel.
    ///
    /// - With the form `override_host` the header names each host in both spellings, so endpoints
    ///   with and without a tunnel may be mixed.
    /// - With `stateful_session`, which takes one host, it names the host only as one behind the
    ///   listener.
    pub hbone: Option<String>,
}

impl Destination {
    /// Reads the section `destination`. All its fields have defaults.
    pub(crate) fn read(settings: &Settings<'_>) -> Self {
        let s = settings
            .about("How the proxy is told the chosen hosts.")
            .section("destination");
        let form = s
            .about_as(
                "What reads the header ([deploy/envoy](../deploy/envoy/README.md)).",
                "`override_host`, `stateful_session`, `lua`, `original_dst`",
                "override_host",
            )
            .string("form")
            .map(|name| form(&name))
            .hint("write override_host, stateful_session, lua or original_dst")
            .default(Form::default());
        let hbone = s
            .about(
                "Name of the internal listener that leads to endpoints behind a \
                tunnel, `connect_originate` in Istio. Absent: no endpoint is \
                behind one.",
            )
            .string("hbone")
            .max_bytes(128)
            .check(|name| listener(name))
            .hint("name the internal listener, such as connect_originate")
            .optional();
        if hbone.is_some() && matches!(form, Form::Lua | Form::OriginalDst) {
            s.problem(
                "has `hbone` with a form that can name no endpoint behind an internal listener",
                "use the form override_host or stateful_session, or leave `hbone` out",
            );
        }
        let header = config::header(
            s.about_as(
                "Name of the header. What a client sends under it is removed.",
                "header name",
                "`x-gateway-destination-endpoint`; with `original_dst` `x-envoy-original-dst-host`",
            ),
            "header",
        )
        .unwrap_or_else(|| default_header(form).into());
        Self {
            form,
            header,
            hbone,
        }
    }

    /// Returns the header's value.
    ///
    /// - `hosts`: `ip:port[,ip:port]`, best first, at least one.
    #[must_use]
    pub fn value<'h>(&self, hosts: &'h str) -> Cow<'h, str> {
        let first = hosts.split_once(',').map_or(hosts, |(first, _)| first);
        match (self.form, self.hbone.as_deref()) {
            (Form::OverrideHost, None) => hosts.into(),
            (Form::OverrideHost, Some(listener)) => both_spellings(hosts, listener).into(),
            (Form::StatefulSession, None) => base64(&[first]).into(),
            (Form::StatefulSession, Some(listener)) => {
                base64(&[INTERNAL, listener, "/", first]).into()
            }
            (Form::Lua | Form::OriginalDst, _) => first.into(),
        }
    }
}

/// Returns the endpoint in the proxy's property `upstream.address`, as tables have it: `ip:port`,
/// also for one behind an internal listener.
pub(crate) fn endpoint_of(upstream: &[u8]) -> &[u8] {
    let internal = upstream.strip_prefix(INTERNAL.as_bytes());
    internal
        .and_then(|name| name.get(name.iter().position(|byte| *byte == b'/')? + 1..))
        .unwrap_or(upstream)
}

fn form(name: &str) -> Result<Form, &'static str> {
    match name {
        "override_host" => Ok(Form::OverrideHost),
        "stateful_session" => Ok(Form::StatefulSession),
        "lua" => Ok(Form::Lua),
        "original_dst" => Ok(Form::OriginalDst),
        _ => Err("is no form of the destination"),
    }
}

const fn default_header(form: Form) -> &'static str {
    match form {
        // Envoy's own default for such clusters.
        Form::OriginalDst => "x-envoy-original-dst-host",
        Form::OverrideHost | Form::StatefulSession | Form::Lua => "x-gateway-destination-endpoint",
    }
}

/// Checks a listener's name. It stands in a list that is split at commas, and in an address that is
/// split at the first slash.
fn listener(name: &str) -> Result<(), &'static str> {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b",/".contains(&byte);
    if !name.is_empty() && name.bytes().all(allowed) {
        Ok(())
    } else {
        Err(
            "is no name of a listener: it is empty or has a comma, a slash, a \
            space or what is not ASCII",
        )
    }
}

/// Returns each host as an address, followed by the same host behind the listener. The proxy passes
/// over a host that its cluster does not have.
fn both_spellings(hosts: &str, listener: &str) -> String {
    let count = hosts.split(',').count();
    let added = ",,/".len() + INTERNAL.len() + listener.len();
    let mut out = String::with_capacity(2 * hosts.len() + count * added);
    for host in hosts.split(',') {
        let separator = if out.is_empty() { "" } else { "," };
        out.extend([separator, host, ",", INTERNAL, listener, "/", host]);
    }
    out
}

/// Returns the parts as one text in base64 (RFC 4648, padded).
///
/// Rejected: the crate `base64`. It brings engines and alphabets for 25 lines of need, and every
/// byte of the module is in every proxy.
fn base64(parts: &[&str]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = String::with_capacity(length.div_ceil(3) * 4);
    let mut bytes = parts.iter().flat_map(|part| part.bytes()).fuse();
    while let Some(first) = bytes.next() {
        let three = [Some(first), bytes.next(), bytes.next()];
        let word = three
            .iter()
            .fold(0, |word, byte| word << 8 | usize::from(byte.unwrap_or(0)));
        let digits = 1 + three.iter().flatten().count();
        for place in 0..4 {
            let digit = DIGITS.get(word >> (18 - 6 * place) & 63);
            let digit = digit.filter(|_| place < digits);
            out.push(char::from(digit.copied().unwrap_or(b'=')));
        }
    }
    out
}

#[cfg(test)]
mod tests;
