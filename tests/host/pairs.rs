//! Tests two pairs of tap and pick in one chain, as where two teams of a mesh add plugins to the
//! same proxies: side by side, nested, crossed.

use std::slice;
use std::time::Duration;

use trimtab_loadtable::Table;
use trimtab_wasmhost::{HeaderMap, LogLevel, Options, Part};

use crate::storm::chain::{Chain, Stream};
use crate::support::{DESTINATION, chat, module, table_with};

const LLAMA: &str = "outbound|8000||llama.models.svc.cluster.local";
const CODER: &str = "outbound|9000||coder.models.svc.cluster.local";
/// The plugins of pairs `a` and `b`, by their places in the chain.
const ORDERS: [(&str, [(&str, usize); 4]); 3] = [
    (
        "side by side",
        [("tap", 0), ("pick", 0), ("tap", 1), ("pick", 1)],
    ),
    ("nested", [("tap", 0), ("tap", 1), ("pick", 1), ("pick", 0)]),
    (
        "crossed",
        [("tap", 0), ("tap", 1), ("pick", 0), ("pick", 1)],
    ),
];

/// Starts the plugins in that order.
///
/// - `pairs`: settings of each pair.
fn start(order: &[(&str, usize); 4], pairs: [&str; 2]) -> Chain {
    let config = |(role, pair): &(&str, usize)| {
        let settings = pairs[*pair];
        format!(
            r#"{{"role": "{role}", "aggregator": {{"cluster": "trimtab_aggregator"}}, {settings}}}"#
        )
    };
    let configs: Vec<String> = order.iter().map(config).collect();
    let options = Options {
        allow_on_headers_stop_iteration: false,
        ..Options::default()
    };
    let mut chain = Chain::start(module(), &configs, options).expect("starts");
    for (plugin, (role, pair)) in chain.plugins.iter_mut().zip(order) {
        let name = if pairs[*pair].contains("code") {
            "code"
        } else {
            "chat"
        };
        // Of two plugins with one pool one syncs for both.
        if *role == "tap" && (pairs[0] != pairs[1] || *pair == 0) {
            assert!(plugin.deliver(&table(name).encode()));
        }
    }
    chain
}

/// Returns a table of that pool. The endpoints of `code` are 10.1.0.x.
fn table(pool: &str) -> Table {
    let mut table = table_with(1, &[0, 0]);
    pool.clone_into(&mut table.pool);
    for endpoint in &mut table.endpoints {
        if pool == "code" {
            endpoint.address = endpoint.address.replace("10.0.", "10.1.");
        }
    }
    table
}

/// Sends a request to a cluster, and returns it once it has gone on, without a tick.
fn sent(chain: &mut Chain, cluster: &str, has_body: bool) -> Stream {
    for worker in chain.all() {
        worker.script.set_property("xds.cluster_name", cluster);
    }
    let headers: HeaderMap = [
        (":method", "POST"),
        (":path", "/v1/chat/completions"),
        (":authority", "models.example"),
        ("content-type", "application/json"),
        (DESTINATION, "6.6.6.6:6"),
    ]
    .into_iter()
    .collect();
    let mut stream = chain.open(0, Vec::new());
    chain.request(&mut stream, Part::Headers(headers, !has_body));
    if has_body {
        chain.request(&mut stream, Part::Body(chat(500).into_bytes(), true));
    }
    for _ in 0..2 {
        chain.deliver_queues(slice::from_mut(&mut stream));
    }
    assert!(stream.arrived_whole, "it waits for somebody: {stream:?}");
    chain.close(&stream, true);
    stream
}

fn destination(stream: &Stream) -> Option<&str> {
    stream.headers.as_ref()?.text(DESTINATION)
}

/// Returns the warnings of the worker that got the requests, of all plugins.
fn warnings(chain: &mut Chain) -> String {
    chain.step(Duration::from_millis(100), &mut []);
    let plugins = 0..chain.plugins.len();
    let logs = plugins.map(|plugin| chain.worker(plugin, 0).script.log_text(LogLevel::Warn));
    logs.filter(|log| !log.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn pairs_with_requests_of_their_own_find_each_other_in_any_order() {
    let pairs = [
        r#""pool": "chat", "services": ["models/llama:8000"]"#,
        r#""pool": "code", "services": ["models/coder:9000"]"#,
    ];
    for (name, order) in &ORDERS {
        let mut chain = start(order, pairs);
        for has_body in [true, false] {
            for (cluster, hosts) in [(LLAMA, Some("10.0.")), (CODER, Some("10.1.")), ("x", None)] {
                let stream = sent(&mut chain, cluster, has_body);
                let found = destination(&stream);
                let is_right = match hosts {
                    Some(hosts) => found.is_some_and(|found| found.starts_with(hosts)),
                    None => found.is_none(),
                };
                assert!(is_right, "{name}: {cluster} {has_body}: {found:?}");
            }
        }
        assert_eq!(warnings(&mut chain), "", "{name}");
        assert_eq!(chain.failure(), None);
    }
}

#[test]
fn of_two_pairs_that_want_the_same_request_the_first_has_it_and_the_other_says_so() {
    let pairs = [r#""pool": "chat""#, r#""pool": "code""#];
    for (name, order) in &ORDERS {
        let mut chain = start(order, pairs);
        for has_body in [true, false, true] {
            let stream = sent(&mut chain, LLAMA, has_body);
            let found = destination(&stream).unwrap_or_default();
            assert!(found.starts_with("10.0."), "{name}: {found:?}");
        }
        let log = warnings(&mut chain);
        assert_eq!(log.matches("another pair").count(), 1, "{name}: {log}");
        assert_eq!(log.lines().count(), 1, "{name}: {log}");
    }
}

#[test]
fn a_pair_that_is_there_twice_costs_no_time_and_is_told() {
    let pairs = [r#""pool": "chat""#; 2];
    for (name, order) in &ORDERS {
        let mut chain = start(order, pairs);
        for _ in 0..3 {
            sent(&mut chain, LLAMA, true);
        }
        let log = warnings(&mut chain);
        assert_eq!(log.matches("another pair").count(), 1, "{name}: {log}");
    }
}
