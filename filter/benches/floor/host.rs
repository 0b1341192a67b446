//! The allocator and the hostcalls of these modules.

use std::{mem, ptr};

/// The only stream, and the only map, that these modules use.
pub(crate) const REQUEST: u32 = 0;
pub(crate) const CONTINUE: u32 = 0;
pub(crate) const STOP: u32 = 1;
/// Properties by which the two plugins of a pair find each other.
pub(crate) const MARK: &str = "floor_tap";
pub(crate) const SEAT: &str = "floor_pick";

type Out<T> = *mut T;

unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: u32, data: Out<*mut u8>, size: Out<usize>) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        max: usize,
        data: Out<*mut u8>,
        size: Out<usize>,
    ) -> u32;
    fn proxy_add_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_get_current_time_nanoseconds(now: Out<u64>) -> u32;
    fn proxy_get_property(
        name: *const u8,
        name_size: usize,
        data: Out<*mut u8>,
        size: Out<usize>,
    ) -> u32;
    fn proxy_set_property(
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_register_shared_queue(name: *const u8, name_size: usize, id: Out<u32>) -> u32;
    fn proxy_enqueue_shared_queue(id: u32, message: *const u8, size: usize) -> u32;
    fn proxy_dequeue_shared_queue(id: u32, data: Out<*mut u8>, size: Out<usize>) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    mem::ManuallyDrop::new(Vec::with_capacity(size)).as_mut_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_: u32, _: u32) -> u32 {
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(_: u32, _: u32) {}

/// Returns what the host has put into this module's memory. Empty: nothing.
fn taken(read: impl FnOnce(Out<*mut u8>, Out<usize>) -> u32) -> Vec<u8> {
    let (mut data, mut size) = (ptr::null_mut(), 0);
    if read(&raw mut data, &raw mut size) != 0 || data.is_null() {
        return Vec::new();
    }
    // SAFETY: allocated above with this size, and filled by the host.
    unsafe { Vec::from_raw_parts(data, size, size) }
}

// SAFETY, for all calls below: every pointer is of a live value and valid for the call.

pub(crate) fn headers() -> Vec<u8> {
    taken(|data, size| unsafe { proxy_get_header_map_pairs(REQUEST, data, size) })
}

pub(crate) fn buffer(kind: u32, max: usize) -> Vec<u8> {
    taken(|data, size| unsafe { proxy_get_buffer_bytes(kind, 0, max, data, size) })
}

pub(crate) fn add_header(name: &str, value: &str) {
    unsafe {
        proxy_add_header_map_value(
            REQUEST,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        );
    }
}

pub(crate) fn now_ns() -> u64 {
    let mut now_ns = 0;
    unsafe { proxy_get_current_time_nanoseconds(&raw mut now_ns) };
    now_ns
}

pub(crate) fn property(name: &str) -> Vec<u8> {
    taken(|data, size| unsafe { proxy_get_property(name.as_ptr(), name.len(), data, size) })
}

pub(crate) fn set_property(name: &str, value: &[u8]) {
    unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
}

pub(crate) fn register_queue(name: &str) -> u32 {
    let mut id = 0;
    unsafe { proxy_register_shared_queue(name.as_ptr(), name.len(), &raw mut id) };
    id
}

pub(crate) fn enqueue(id: u32, message: &[u8]) {
    unsafe { proxy_enqueue_shared_queue(id, message.as_ptr(), message.len()) };
}

pub(crate) fn dequeue(id: u32) -> Vec<u8> {
    taken(|data, size| unsafe { proxy_dequeue_shared_queue(id, data, size) })
}

/// Lets a held request go on from outside its own callbacks, after `change`.
///
/// - `root`: the plugin's own context.
pub(crate) fn let_go(context: u32, root: u32, change: impl FnOnce()) {
    if unsafe { proxy_set_effective_context(context) } == 0 {
        change();
        unsafe {
            proxy_continue_stream(REQUEST);
            proxy_set_effective_context(root);
        }
    }
}
