//! The callbacks of proxy-wasm 0.2.1: what the proxy finds in the module. Only in a VM; `abi.json`
//! lists them.
//!
//! The SDK gives the allocator, the entry point and the numbers of the ABI. Its dispatcher is not
//! used, for two reasons:
//!
//! - It panics, and so traps the VM, on an unknown context or call-out and on any unexpected
//!   status. Here an unknown number is ignored: the request goes on.
//! - It does not know of call-outs that it did not make itself.
//!
//! Rust cannot leave out or replace the callbacks that the SDK exports. So the callbacks here have
//! their own names, and the build gives them the ABI's names instead (`rename_exports`).
//!
//! The proxy does not call a callback that is not exported. Each exported one costs a request a few
//! microseconds. So there is none for response trailers, for logs or for the deletion of a context:
//! a stream is done exactly once, however it ended.
#![allow(unsafe_code, reason = "callbacks are exported functions")]

use crate::host::{self, Action};
use crate::plugin::registry;
use crate::request::contexts;

/// Holds a part of a body (`StopIterationAndWatermark`). When more is held than the listener's
/// buffer limit, the client waits.
///
/// Rejected: 1, the other way to hold a part. The proxy then answers 413 above the limit, and what
/// a client sends at once after a first small piece may be more than the limit.
const HOLD_BODY: u32 = 2;

proxy_wasm::main! {{
    // If there is a panic after all, the operator can read where.
    std::panic::set_hook(Box::new(|panic| {
        host::log(host::Level::Critical, &format!("trimtab: {panic}"));
    }));
}}

#[unsafe(no_mangle)]
extern "C" fn trimtab_on_context_create(context_id: u32, root_id: u32) {
    if root_id != 0 {
        contexts::create(context_id, root_id);
    }
}

#[unsafe(no_mangle)]
extern "C" fn trimtab_on_configure(root_id: u32, config_bytes: usize) -> u32 {
    let taken = registry::on_configure(root_id, config_bytes);
    contexts::let_overdue_go(root_id);
    u32::from(taken)
}

#[unsafe(no_mangle)]
extern "C" fn trimtab_on_tick(root_id: u32) {
    registry::count_tick(root_id);
    contexts::let_overdue_go(root_id);
    registry::on_tick(root_id);
}

#[unsafe(no_mangle)]
extern "C" fn trimtab_on_queue_ready(root_id: u32, queue: u32) {
    registry::on_queue_ready(root_id, queue);
}

#[unsafe(no_mangle)]
extern "C" fn trimtab_on_http_call_response(
    root_id: u32,
    token: u32,
    _headers: usize,
    body_bytes: usize,
    _trailers: usize,
) {
    registry::on_call_response(root_id, token, body_bytes);
}

#[unsafe(no_mangle)]
extern "C" fn trimtab_on_request_headers(
    context_id: u32,
    _count: usize,
    end_of_stream: u32,
) -> u32 {
    contexts::on_request_headers(context_id, end_of_stream != 0) as u32
}

#[unsafe(no_mangle)]
extern "C" fn trimtab_on_request_body(context_id: u32, bytes: usize, end_of_stream: u32) -> u32 {
    let action = contexts::placed(context_id, |request| {
        request.on_request_body(bytes, end_of_stream != 0)
    });
    if matches!(action, Action::Pause) {
        HOLD_BODY
    } else {
        0
    }
}

#[unsafe(no_mangle)]
extern "C" fn trimtab_on_request_trailers(context_id: u32, _count: usize) -> u32 {
    contexts::placed(context_id, |request| request.on_request_trailers()) as u32
}

#[unsafe(no_mangle)]
extern "C" fn trimtab_on_response_headers(
    context_id: u32,
    _count: usize,
    end_of_stream: u32,
) -> u32 {
    contexts::placed(context_id, |request| {
        request.on_response_headers(end_of_stream != 0)
    }) as u32
}

#[unsafe(no_mangle)]
extern "C" fn trimtab_on_response_body(context_id: u32, bytes: usize, end_of_stream: u32) -> u32 {
    contexts::placed(context_id, |request| {
        request.on_response_body(bytes, end_of_stream != 0)
    }) as u32
}

#[unsafe(no_mangle)]
extern "C" fn trimtab_on_done(context_id: u32) -> u32 {
    contexts::on_done(context_id);
    if registry::find(context_id).is_some() {
        registry::on_done(context_id);
        contexts::let_overdue_go(context_id);
    }
    1
}
