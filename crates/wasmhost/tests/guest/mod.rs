//! Guests in WAT, assembled from callbacks.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a guest that does not assemble is the test's own mistake"
)]

use trimtab_wasmhost::{Limits, Module, Options, Script, Shared, Vm};

const IMPORTS: &str = r#"
(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
(import "env" "proxy_get_current_time_nanoseconds" (func $time (param i32) (result i32)))
(import "env" "proxy_set_tick_period_milliseconds" (func $tick_period (param i32) (result i32)))
(import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_replace_header_map_value" (func $replace (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
(import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
(import "env" "proxy_http_call" (func $http_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
"#;

/// Memory: 0 "x", 1 "v", 2 "c", 8.. out-pointers, 1024.. serialised call headers, 4096.. heap.
const BODY: &str = r#"
(memory (export "memory") 4)
(data (i32.const 0) "xvc")
(data (i32.const 1024) "HEADERS")
(global $heap (mut i32) (i32.const 4096))
(func (export "malloc") (param i32) (result i32)
  (global.get $heap)
  (global.set $heap (i32.add (global.get $heap) (local.get 0))))
(func (export "proxy_abi_version_0_2_1"))
(func $get_x (result i32) (call $get (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8) (i32.const 12)))
(func $set_x (result i32) (call $replace (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1)))
(func $wild (drop (call $get (i32.const 0) (i32.const -8) (i32.const 99) (i32.const 8) (i32.const 12))))
(func $now (drop (call $time (i32.const 16))))
(func $log_size (param i32)
  (block (loop
    (br_if 1 (i32.eqz (local.get 0)))
    (drop (call $log (i32.const 2) (i32.const 0) (i32.const 1)))
    (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
    (br 0))))
(func $continue_stream_2
  (drop (call $effective (i32.const 2)))
  (drop (call $continue (i32.const 0))))
(func $call_body (drop (call $buffer (i32.const 4) (i32.const 0) (i32.const 99) (i32.const 8) (i32.const 12))))
(func $call_out (drop (call $http_call (i32.const 2) (i32.const 1) (i32.const 1024) (i32.const LENGTH)
  (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1000) (i32.const 20))))
"#;

/// A guest that is being built. A callback that is not given is not exported.
#[derive(Debug, Default)]
pub(crate) struct Guest {
    imports: String,
    callbacks: String,
}

impl Guest {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn import(mut self, wat: &str) -> Self {
        self.imports.push_str(wat);
        self
    }

    pub(crate) fn callback(mut self, name: &str, signature: &str, body: &str) -> Self {
        self.callbacks
            .push_str(&format!("(func (export \"{name}\") {signature} {body})\n"));
        self
    }

    pub(crate) fn on_request_headers(self, body: &str) -> Self {
        self.callback(
            "proxy_on_request_headers",
            "(param i32 i32 i32) (result i32)",
            body,
        )
    }

    pub(crate) fn on_request_body(self, body: &str) -> Self {
        self.callback(
            "proxy_on_request_body",
            "(param i32 i32 i32) (result i32)",
            body,
        )
    }

    pub(crate) fn on_response_headers(self, body: &str) -> Self {
        self.callback(
            "proxy_on_response_headers",
            "(param i32 i32 i32) (result i32)",
            body,
        )
    }

    pub(crate) fn on_tick(self, body: &str) -> Self {
        self.callback("proxy_on_tick", "(param i32)", body)
    }

    pub(crate) fn wasm(&self) -> Vec<u8> {
        let headers: trimtab_wasmhost::HeaderMap =
            [(":method", "GET"), (":path", "/"), (":authority", "a")]
                .into_iter()
                .collect();
        let bytes = headers.to_bytes();
        let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let body = BODY
            .replace("HEADERS", &escaped)
            .replace("LENGTH", &bytes.len().to_string());
        let text = format!(
            "(module {IMPORTS} {} {body} {})",
            self.imports, self.callbacks
        );
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }
}

/// Returns a configured VM with this guest, and its script.
pub(crate) fn vm(guest: &Guest, options: Options) -> (Vm, Script) {
    let module = Module::from_bytes(&guest.wasm(), Limits::default()).expect("valid module");
    let script = Script::new();
    let mut vm = Vm::new(&module, &Shared::new(), script.clone(), options).expect("links");
    assert!(vm.configure(b"{}").expect("no trap"));
    (vm, script)
}
