//! Hostcalls that fail.

use trimtab_wasmhost::{Script, Status};

use super::bytes::Bytes;

/// The hostcalls of the filter. The last two never answer a false OK. No filter can handle a host
/// that claims to release a request and does not.
const CALLS: [&str; 20] = [
    "proxy_define_metric",
    "proxy_dequeue_shared_queue",
    "proxy_enqueue_shared_queue",
    "proxy_get_buffer_bytes",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_value",
    "proxy_get_property",
    "proxy_get_shared_data",
    "proxy_http_call",
    "proxy_increment_metric",
    "proxy_record_metric",
    "proxy_register_shared_queue",
    "proxy_remove_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_set_property",
    "proxy_set_shared_data",
    "proxy_set_tick_period_milliseconds",
    "proxy_continue_stream",
    "proxy_set_effective_context",
];
const STATUSES: [u32; 12] = [1, 2, 3, 4, 6, 7, 8, 10, 12, 255, u32::MAX, 0];

/// One kind of hostcall with a wrong answer.
#[derive(Debug)]
pub(crate) struct Fault {
    call: &'static str,
    status: u32,
    /// Which call fails, counted from here on; 0 for each.
    nth: usize,
}

impl Fault {
    pub(crate) fn of(bytes: &mut Bytes<'_>) -> Self {
        let call = *bytes.of(&CALLS);
        let mut status = *bytes.of(&STATUSES);
        if status == 0 && CALLS[18..].contains(&call) {
            status = 2;
        }
        let nth = bytes.below(8);
        Self { call, status, nth }
    }

    pub(crate) fn happen(&self, script: &Script) {
        match self.nth {
            0 => script.every(self.call, Status(self.status)),
            nth => script.nth(self.call, nth, Status(self.status)),
        }
    }
}
