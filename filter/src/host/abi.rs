//! The hostcalls of proxy-wasm 0.2.1 as they are on the wire.
//!
//! Rejected: the declarations of the SDK. It reads the status into a Rust enum. That is undefined
//! behaviour for a status that the enum does not list, and the SDK panics on statuses that it does
//! not expect. A plain `u32` has neither problem.

/// Address of a place in the module's memory to which the host writes a result.
pub(super) type Out<T> = *mut T;

macro_rules! hostcalls {
    ($($name:ident($($arg:ident: $kind:ty),* $(,)?);)*) => {
        #[cfg(target_arch = "wasm32")]
        #[link(wasm_import_module = "env")]
        unsafe extern "C" {
            $(pub(super) fn $name($($arg: $kind),*) -> u32;)*
        }

        // Outside of a VM there is no host: every call answers "unimplemented". So native tests see
        // the error paths of the callers.
        #[cfg(not(target_arch = "wasm32"))]
        #[allow(clippy::too_many_arguments, reason = "the ABI has as many")]
        mod absent {
            use super::Out;

            $(pub(in crate::host) unsafe fn $name($($arg: $kind),*) -> u32 {
                let _ = ($($arg),*,);
                super::super::UNIMPLEMENTED
            })*
        }
        #[cfg(not(target_arch = "wasm32"))]
        pub(super) use absent::*;
    };
}

hostcalls! {
    proxy_log(level: u32, message: *const u8, size: usize);
    proxy_get_current_time_nanoseconds(time: Out<u64>);
    proxy_set_tick_period_milliseconds(period: u32);
    proxy_get_buffer_bytes(kind: u32, start: usize, max_size: usize, data: Out<*mut u8>, size: Out<usize>);
    proxy_get_header_map_pairs(map: u32, data: Out<*mut u8>, size: Out<usize>);
    proxy_get_header_map_value(map: u32, key: *const u8, key_size: usize, data: Out<*mut u8>, size: Out<usize>);
    proxy_replace_header_map_value(map: u32, key: *const u8, key_size: usize, value: *const u8, value_size: usize);
    proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize);
    proxy_get_property(path: *const u8, path_size: usize, data: Out<*mut u8>, size: Out<usize>);
    proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize);
    proxy_set_effective_context(context: u32);
    proxy_continue_stream(stream: u32);
    proxy_get_shared_data(key: *const u8, key_size: usize, data: Out<*mut u8>, size: Out<usize>, cas: Out<u32>);
    proxy_set_shared_data(key: *const u8, key_size: usize, value: *const u8, value_size: usize, cas: u32);
    proxy_register_shared_queue(name: *const u8, name_size: usize, id: Out<u32>);
    proxy_enqueue_shared_queue(id: u32, message: *const u8, size: usize);
    proxy_dequeue_shared_queue(id: u32, data: Out<*mut u8>, size: Out<usize>);
    proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: Out<u32>);
    proxy_increment_metric(id: u32, offset: i64);
    proxy_record_metric(id: u32, value: u64);
    proxy_http_call(
        upstream: *const u8, upstream_size: usize, headers: *const u8, headers_size: usize, body: *const u8, body_size: usize,
        trailers: *const u8, trailers_size: usize, timeout_ms: u32, token: Out<u32>,
    );
}
