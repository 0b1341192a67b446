//! The least that a filter of this design can do, for `benches/envoy_overhead`. It reads headers
//! and the beginning of the body, holds the headers meanwhile, sets a destination, and sees the
//! answer pass. It has no facts, no decision, no books, no table. Its cost is the proxy's price of
//! the callbacks and hostcalls. No filter can cost less. With the role tap it holds nothing, and
//! sends the destination to the other module (`pick.rs`).
#![cfg(target_arch = "wasm32")]
#![allow(
    unsafe_code,
    missing_docs,
    reason = "nothing lies between this module and the host, not even the SDK"
)]

#[path = "host.rs"]
#[allow(dead_code, reason = "shared by two modules")]
mod host;

use std::cell::{Cell, RefCell};

use host::{CONTINUE, STOP};

/// Like the default of `decide_after_bytes`.
const READ_BYTES: usize = 16 * 1024;
const DESTINATION: &str = "x-gateway-destination-endpoint";
/// Not a host of the cluster: the proxy then balances as without the filter.
const HOST: &str = "127.0.0.1:1";
const BODY: u32 = 0;
const CONFIGURATION: u32 = 7;

thread_local! {
    static IS_TAP: Cell<bool> = const { Cell::new(false) };
    /// Requests whose body has not come yet.
    static WAITING: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(_: u32, size: usize) -> u32 {
    let settings = host::buffer(CONFIGURATION, size);
    let tap = b"\"tap\"";
    IS_TAP.set(settings.windows(tap.len()).any(|word| word == tap));
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: u32, _: u32, end_of_stream: u32) -> u32 {
    let _headers = host::headers();
    if end_of_stream != 0 {
        return CONTINUE;
    }
    WAITING.with_borrow_mut(|waiting| waiting.push(context));
    if IS_TAP.get() {
        host::set_property(host::MARK, &[1]);
        return CONTINUE;
    }
    STOP
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(context: u32, bytes: usize, _: u32) -> u32 {
    let waits = WAITING.with_borrow_mut(|waiting| {
        let at = waiting.iter().position(|one| *one == context)?;
        Some(waiting.swap_remove(at))
    });
    if waits.is_some() {
        let _body = host::buffer(BODY, bytes.min(READ_BYTES));
        host::now_ns();
        if IS_TAP.get() {
            tell_pick();
        } else {
            host::add_header(DESTINATION, HOST);
        }
    }
    CONTINUE
}

/// Sends the destination to pick. A seat is the number of a queue and the number of the request
/// there.
fn tell_pick() {
    let seat = host::property(host::SEAT);
    if let Some((queue, context)) = seat.split_first_chunk::<4>() {
        let message = [context, HOST.as_bytes()].concat();
        host::enqueue(u32::from_le_bytes(*queue), &message);
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(_: u32, _: u32, _: u32) -> u32 {
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_body(_: u32, _: usize, _: u32) -> u32 {
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(context: u32) -> u32 {
    WAITING.with_borrow_mut(|waiting| waiting.retain(|one| *one != context));
    1
}
