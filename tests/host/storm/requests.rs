//! Requests, answers and tables that bytes choose.

use trimtab_loadtable::{Demand, Endpoint, Table, Version};
use trimtab_wasmhost::{CallAnswer, HeaderMap};

use super::bytes::Bytes;
use super::chain::Stream;

/// Returns a body: a good one of some size, a truncated one, or one that is no JSON.
pub(crate) fn body(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let size = [0, 20, 500, 5_000, 16_300, 40_000][bytes.below(6)];
    let model = bytes.of(&["m", "m2", "code"]);
    let text = "word ".repeat(size / 5);
    let good = format!(
        r#"{{"model": "{model}", "stream": true, "messages": [{{"role": "user", "content": "{text}"}}]}}"#
    );
    let mut body = good.into_bytes();
    match bytes.below(8) {
        0 => body.clear(),
        1 => body.truncate(bytes.below(1 + size)),
        2 => body.iter_mut().step_by(7).for_each(|byte| *byte ^= 0x80),
        _ => {}
    }
    body
}

/// Returns headers, mostly of a completion request.
pub(crate) fn headers(bytes: &mut Bytes<'_>, len: usize) -> HeaderMap {
    let path = bytes.of(&[
        "/v1/chat/completions",
        "/v1/chat/completions?x",
        "/v1/models",
    ]);
    let mut headers: HeaderMap = [
        (":method", "POST"),
        (":path", *path),
        (":authority", "models.example"),
        ("content-type", "application/json"),
    ]
    .into_iter()
    .collect();
    match bytes.below(12) {
        0 => headers.replace(":method", "GET"),
        1 => headers.replace("x-gateway-destination-endpoint", "10.9.9.9:1"),
        2 => headers.replace("upgrade", "websocket"),
        3 => headers.replace("content-encoding", "gzip"),
        4 => headers.replace("content-length", "18446744073709551616"),
        5 => headers.replace("x-session", [0xff, 0xfe]),
        _ => headers.replace("content-length", len.to_string()),
    }
    headers
}

/// Returns the proxy's properties of the stream: where it went, and the settings of its route.
pub(crate) fn attributes(bytes: &mut Bytes<'_>) -> Vec<(&'static str, &'static str)> {
    let mut all = vec![(
        "upstream.address",
        *bytes.of(&["10.0.0.1:8000", "10.0.0.4:8000", "10.7.7.7:1", "", "?"]),
    )];
    match bytes.below(6) {
        0 => all.push((
            "xds.route_metadata.filter_metadata.trimtab.pool",
            *bytes.of(&["chat", "code", "none"]),
        )),
        1 => all.push((
            "xds.route_metadata.filter_metadata.trimtab.mode",
            *bytes.of(&["observe", "50", "?"]),
        )),
        _ => {}
    }
    all
}

/// Returns the headers of an answer.
pub(crate) fn answer(bytes: &mut Bytes<'_>) -> HeaderMap {
    let status = *bytes.of(&["200", "200", "503", "429", "500", "x"]);
    let mut headers: HeaderMap = [(":status", status)].into_iter().collect();
    if bytes.once_in(3) {
        headers.replace(
            "retry-after",
            *bytes.of(&["1", "-1", "99999999999999999999"]),
        );
    }
    headers
}

/// Returns a table of these endpoints.
pub(crate) fn table(pool: &str, sequence: u64, endpoints: Vec<Endpoint>) -> Table {
    Table {
        pool: pool.to_owned(),
        version: Version { epoch: 1, sequence },
        age_ms: 10,
        deciders: Some(1),
        demand: Demand::default(),
        placement_key: [7; 16],
        classes: Vec::new(),
        adapters: Vec::new(),
        endpoints,
        heat: None,
        moved: None,
        probes: vec![],
        held: vec![],
    }
}

/// Returns an answer to a call-out; absent if the call fails.
pub(crate) fn table_answer(bytes: &mut Bytes<'_>, table: &[u8]) -> Option<CallAnswer> {
    let mut body = table.to_vec();
    match bytes.below(8) {
        0 => return None,
        1 => body.truncate(bytes.below(1 + table.len())),
        2 => {
            let at = bytes.below(body.len());
            body[at] ^= bytes.byte();
        }
        3 => return Some(CallAnswer::new(204, "")),
        4 => return Some(CallAnswer::new(500, body)),
        _ => {}
    }
    let mut answer = CallAnswer::new(200, body);
    let heard = *bytes.of(&["1", "18446744073709551615", "-1", ""]);
    answer.headers.replace("x-trimtab-report", heard);
    Some(answer)
}

/// Whether the filter named a host for the stream.
pub(crate) fn is_placed(stream: &Stream) -> bool {
    let hosts = |headers: &HeaderMap| {
        let hosts = headers.text("x-gateway-destination-endpoint");
        hosts.is_some_and(|hosts| hosts.starts_with("10.0.0."))
    };
    stream.headers.as_ref().is_some_and(hosts)
}
