//! The module, tables and requests that the tests share.

use std::sync::OnceLock;
use std::time::Duration;

use trimtab_filter::names;
use trimtab_loadtable::{Class, Demand, Endpoint, Report, State, Table, Version};
use trimtab_wasmhost::{
    CallAnswer, Exchange, HttpCall, Limits, Module, Options, ScriptedProxy, Vm, ready_filter,
};

/// Header in which the filter writes the hosts.
pub(crate) const DESTINATION: &str = "x-gateway-destination-endpoint";
/// Header in which the filter explains its decision with [`config`].
pub(crate) const EXPLAIN: &str = "x-trimtab-decision";
/// The endpoints of [`table`]. Two are idle; the third has a long wait.
pub(crate) const ENDPOINTS: [&str; 3] = ["10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8000"];

/// Returns the filter. It is compiled once for all tests.
pub(crate) fn module() -> &'static Module {
    static MODULE: OnceLock<Module> = OnceLock::new();
    MODULE.get_or_init(|| compile(Limits::default()))
}

/// Compiles the filter with other limits.
pub(crate) fn compile(limits: Limits) -> Module {
    let path = std::env::var_os("TRIMTAB_FILTER")
        .expect("TRIMTAB_FILTER does not say where filter.wasm is: run `cargo xtask test --only host`, which builds it");
    Module::from_file(path, limits).expect("the filter loads")
}

/// Returns a configuration with the explain header and a fixed seed.
pub(crate) fn config() -> String {
    config_with("")
}

/// Returns [`config`] with more fields, for example `"max_hosts": 1`.
pub(crate) fn config_with(fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!(
        r#"{{"pool": "chat", "aggregator": {{"cluster": "trimtab_aggregator"}}, "explain_header": "{EXPLAIN}", "seed": 7{comma} {fields}}}"#
    )
}

/// Returns a table of the pool `chat` with these waits in milliseconds on 10.0.0.1, 10.0.0.2 ...
pub(crate) fn table_with(sequence: u64, waits_ms: &[u32]) -> Table {
    let endpoint = |(index, wait_ms): (usize, &u32)| Endpoint {
        address: format!("10.0.0.{}:8000", index + 1),
        class: Some(0),
        wait_ms: Some(*wait_ms),
        waiting: Some(wait_ms / 100),
        running: Some(1),
        kv_used: Some(0.1),
        in_flight: Some(wait_ms / 100),
        pending_tokens: Some(0),
        ..Endpoint::default()
    };
    let mut endpoints: Vec<Endpoint> = waits_ms.iter().enumerate().map(endpoint).collect();
    endpoints.sort_by(|a, b| a.address.cmp(&b.address));
    Table {
        pool: "chat".into(),
        version: Version { epoch: 1, sequence },
        age_ms: 10,
        deciders: Some(2),
        demand: Demand {
            arrival_rate: Some(10.0),
            prompt_tokens: Some(500.0),
            uncached_tokens: Some(500.0),
            output_tokens: Some(100.0),
            adapter_load_s: None,
        },
        placement_key: [7; 16],
        classes: vec![Class {
            name: "h100".into(),
            prefill_tokens_per_s: Some(10_000.0),
            decode_s_per_sequence: Some(0.000_5),
            speed: Some(1.0),
        }],
        adapters: vec!["poet".into()],
        endpoints,
        heat: None,
        moved: None,
        probes: vec![],
        held: vec![],
    }
}

/// Returns a table with two idle endpoints and one with a wait of 20 s.
pub(crate) fn table() -> Table {
    table_with(1, &[0, 0, 20_000])
}

/// Returns a table in which only the endpoints `ready` are ready. All others drain, so requests
/// cannot go there.
pub(crate) fn only(sequence: u64, ready: &[usize]) -> Table {
    let mut table = table_with(sequence, &[0, 0, 0]);
    for (index, endpoint) in table.endpoints.iter_mut().enumerate() {
        if !ready.contains(&index) {
            endpoint.state = State::Draining;
        }
    }
    table
}

/// Returns a proxy with one worker that has [`table`].
pub(crate) fn ready() -> ScriptedProxy {
    ready_with(&config(), &table())
}

/// Returns a proxy with one worker that has `table`.
pub(crate) fn ready_with(config: &str, table: &Table) -> ScriptedProxy {
    ready_filter(module(), config, &table.encode())
        .expect("the filter takes configuration and table")
}

/// Returns a proxy without a table.
pub(crate) fn started(workers: usize) -> ScriptedProxy {
    ScriptedProxy::start(module(), &config(), workers, Options::default()).expect("starts")
}

/// Returns a chat request of about `bytes` bytes.
pub(crate) fn chat(bytes: usize) -> String {
    let text = "word ".repeat(bytes / 5);
    format!(
        r#"{{"model": "m", "messages": [{{"role": "user", "content": "{text}"}}], "stream": true}}"#
    )
}

/// Sends a completion request in one chunk, up to its end.
pub(crate) fn ask(vm: &mut Vm) -> Exchange {
    vm.request()
        .header("content-length", chat(500).len().to_string())
        .body(chat(500))
}

/// Sets the address of the answering upstream to the first host, as a proxy does after it has
/// connected.
pub(crate) fn route(vm: &mut Vm, exchange: &Exchange) {
    let host = first_host(exchange).expect("placed");
    vm.set_attribute(exchange.stream, "upstream.address", host);
}

/// Returns the first host of the destination header.
pub(crate) fn first_host(exchange: &Exchange) -> Option<String> {
    let hosts = exchange.upstream_header(DESTINATION)?;
    hosts.split(',').next().map(ToOwned::to_owned)
}

/// Returns the reason in the explain header of a finished exchange.
pub(crate) fn reason(exchange: &Exchange) -> Option<String> {
    let text = exchange.response_headers.as_ref()?.text(EXPLAIN)?;
    text.split(';')
        .find_map(|part| part.trim().strip_prefix("reason=").map(ToOwned::to_owned))
}

/// Returns the counter `name` of the pool `chat` with this tag.
#[track_caller]
pub(crate) fn counter(proxy: &ScriptedProxy, name: &str, tag: &str, value: &str) -> u64 {
    metric(proxy, &format!("{name}.pool.chat.{tag}.{value}"))
}

/// Returns a counter or gauge by its full name; 0 if it has counted nothing yet. Fails if the
/// filter cannot have a metric of that name. Fails too if the filter has an unlisted metric,
/// because the list would then be no check.
#[track_caller]
pub(crate) fn metric(proxy: &ScriptedProxy, name: &str) -> u64 {
    let all = proxy.shared.all_metrics();
    let names = all.iter().map(|metric| metric.name.as_str());
    for name in names.chain([name]) {
        names::check(name).unwrap_or_else(|error| panic!("{error}"));
    }
    let found = all.iter().find(|metric| metric.name == name);
    found.map_or(0, |metric| metric.value)
}

/// Returns the report of the proxy's next sync. Ends the sync under way, so that there is a next
/// one.
pub(crate) fn reported(proxy: &mut ScriptedProxy) -> Report {
    // Workers write reports on ticks if something has changed.
    proxy.run_for(Duration::from_millis(200));
    // Earlier calls do not hold the newest state.
    let _ = proxy.take_calls();
    for _ in 0..200 {
        for number in 0..=proxy.workers.len() {
            let open = proxy.all().nth(number).map(|worker| worker.vm.open_calls());
            for token in open.unwrap_or_default() {
                proxy.answer(number, token, Some(CallAnswer::new(204, "")));
            }
        }
        let mut calls = proxy.take_calls().into_iter();
        if let Some((_, call)) = calls.rfind(|(_, call)| is_poll(call)) {
            return Report::decode(&call.body).expect("a report");
        }
        proxy.run_for(Duration::from_millis(100));
    }
    panic!("no sync within 20 s: {:?}", proxy.main.script.logs());
}

/// Whether a call is a poll, which asks for a table. All others carry urgent reports.
pub(crate) fn is_poll(call: &HttpCall) -> bool {
    call.headers.text(":path") == Some("/v1/pools/chat/sync")
}

/// Returns the requests in flight over all endpoints of a report.
pub(crate) fn in_flight(report: &Report) -> u32 {
    report
        .endpoints
        .iter()
        .map(|endpoint| endpoint.in_flight)
        .sum()
}
