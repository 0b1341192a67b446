//! The least that a plugin with the role pick can do. It holds the headers until the plugin with
//! the role tap (`guest.rs`) says where the request shall go, and sets the destination.
#![cfg(target_arch = "wasm32")]
#![allow(
    unsafe_code,
    missing_docs,
    reason = "nothing lies between this module and the host, not even the SDK"
)]

#[path = "host.rs"]
#[allow(dead_code, reason = "shared by two modules")]
mod host;

use std::cell::Cell;

use host::{CONTINUE, STOP};

const DESTINATION: &str = "x-gateway-destination-endpoint";

thread_local! {
    static QUEUE: Cell<u32> = const { Cell::new(0) };
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(_: u32, _: usize) -> u32 {
    // Each VM has a queue of its own.
    QUEUE.set(host::register_queue(&host::now_ns().to_string()));
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: u32, _: u32, _: u32) -> u32 {
    if host::property(host::MARK).is_empty() {
        return CONTINUE;
    }
    let seat = [QUEUE.get().to_le_bytes(), context.to_le_bytes()].concat();
    host::set_property(host::SEAT, &seat);
    STOP
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_queue_ready(root: u32, queue: u32) {
    loop {
        let message = host::dequeue(queue);
        let Some((context, hosts)) = message.split_first_chunk::<4>() else {
            return;
        };
        let hosts = std::str::from_utf8(hosts).unwrap_or_default();
        host::let_go(u32::from_le_bytes(*context), root, || {
            host::add_header(DESTINATION, hosts);
        });
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(_: u32) -> u32 {
    1
}
