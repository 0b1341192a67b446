//! The least that a filter of this design can do, for `benches/envoy_overhead`: it reads headers and the beginning of the body, holds the
//! headers meanwhile, sets a destination, and sees the answer pass. No facts, no decision, no books, no table. What it costs a proxy is
//! the proxy's price of the callbacks and hostcalls, which no filter can go below.
#![cfg(target_arch = "wasm32")]
#![allow(
    unsafe_code,
    missing_docs,
    reason = "nothing lies between this module and the host, not even the SDK"
)]

use std::cell::RefCell;
use std::ptr;

/// As `decide_after`.
const READ_BYTES: usize = 16 * 1024;
const DESTINATION: &str = "x-gateway-destination-endpoint";
/// None of the cluster's: with it the proxy balances as without the filter.
const HOST: &str = "127.0.0.1:1";
const REQUEST: u32 = 0;
const CONTINUE: u32 = 0;
const STOP: u32 = 1;

unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        max: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_add_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_get_current_time_nanoseconds(now: *mut u64) -> u32;
}

thread_local! {
    /// Requests whose headers are held.
    static HELD: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// Takes what the host has put into memory of ours.
fn take(read: impl FnOnce(*mut *mut u8, *mut usize) -> u32) {
    let (mut data, mut size) = (ptr::null_mut(), 0);
    if read(&raw mut data, &raw mut size) == 0 && !data.is_null() {
        // SAFETY: allocated below with this size.
        drop(unsafe { Vec::from_raw_parts(data, 0, size) });
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    let mut memory = std::mem::ManuallyDrop::new(Vec::with_capacity(size));
    memory.as_mut_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_: u32, _: u32) -> u32 {
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(_: u32, _: u32) -> u32 {
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(_: u32, _: u32) {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: u32, _: u32, end_of_stream: u32) -> u32 {
    // SAFETY: both pointers are valid for the call, here and below.
    take(|data, size| unsafe { proxy_get_header_map_pairs(REQUEST, data, size) });
    if end_of_stream != 0 {
        return CONTINUE;
    }
    HELD.with_borrow_mut(|held| held.push(context));
    STOP
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(context: u32, bytes: usize, _: u32) -> u32 {
    let held = HELD.with_borrow_mut(|held| {
        let at = held.iter().position(|one| *one == context)?;
        Some(held.swap_remove(at))
    });
    if held.is_some() {
        let bytes = bytes.min(READ_BYTES);
        take(|data, size| unsafe { proxy_get_buffer_bytes(REQUEST, 0, bytes, data, size) });
        let mut now_ns = 0;
        // SAFETY: the name and the value outlive the call.
        unsafe {
            proxy_get_current_time_nanoseconds(&raw mut now_ns);
            let (name, host) = (DESTINATION, HOST);
            proxy_add_header_map_value(
                REQUEST,
                name.as_ptr(),
                name.len(),
                host.as_ptr(),
                host.len(),
            );
        }
    }
    CONTINUE
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
    HELD.with_borrow_mut(|held| held.retain(|one| *one != context));
    1
}
