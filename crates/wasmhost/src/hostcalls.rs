//! The functions that a guest imports, one group per file.
//!
//! Each file has the registration (pointers in, pointers out). The methods of [`Host`] in it do the
//! work, and need no guest.

mod buffers;
mod calls;
mod environment;
mod headers;
mod metrics;
mod properties;
mod queues;
mod shared_data;
mod streams;

use wasmtime::{Caller, Linker};

use crate::abi::Status;
use crate::host::Host;

/// Most bytes of one argument of a hostcall.
const MAX_ARGUMENT_BYTES: usize = 64 << 20;

/// Names of all calls.
pub(crate) const NAMES: [&str; 39] = [
    "proxy_add_header_map_value",
    "proxy_call_foreign_function",
    "proxy_close_stream",
    "proxy_continue_stream",
    "proxy_define_metric",
    "proxy_dequeue_shared_queue",
    "proxy_done",
    "proxy_enqueue_shared_queue",
    "proxy_get_buffer_bytes",
    "proxy_get_buffer_status",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_size",
    "proxy_get_header_map_value",
    "proxy_get_log_level",
    "proxy_get_metric",
    "proxy_get_property",
    "proxy_get_shared_data",
    "proxy_get_status",
    "proxy_grpc_call",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_grpc_send",
    "proxy_grpc_stream",
    "proxy_http_call",
    "proxy_increment_metric",
    "proxy_log",
    "proxy_record_metric",
    "proxy_register_shared_queue",
    "proxy_remove_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_resolve_shared_queue",
    "proxy_send_local_response",
    "proxy_set_buffer_bytes",
    "proxy_set_effective_context",
    "proxy_set_header_map_pairs",
    "proxy_set_property",
    "proxy_set_shared_data",
    "proxy_set_tick_period_milliseconds",
];

/// Registers every call.
pub(crate) fn register(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    buffers::register(linker)?;
    calls::register(linker)?;
    environment::register(linker)?;
    headers::register(linker)?;
    metrics::register(linker)?;
    properties::register(linker)?;
    queues::register(linker)?;
    shared_data::register(linker)?;
    streams::register(linker)
}

/// Why a hostcall fails.
enum Stop {
    /// The guest gets this status.
    Status(Status),
    /// The guest's allocator trapped. This ends the whole callback.
    Trap(wasmtime::Error),
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// The guest that called.
struct Guest<'a> {
    caller: Caller<'a, Host>,
}

impl<'a> Guest<'a> {
    /// Runs one hostcall. Calls `intercept` of the world before it and `answered` after it.
    fn enter(
        mut caller: Caller<'a, Host>,
        name: &'static str,
        call: impl FnOnce(&mut Self) -> Result<(), Stop>,
    ) -> wasmtime::Result<u32> {
        let host = caller.data_mut();
        let context = host.context();
        let intercepted = host.world.intercept(name, context);
        let mut guest = Self { caller };
        let status = match intercepted {
            Some(status) => status,
            None => match call(&mut guest) {
                Ok(()) => Status::OK,
                Err(Stop::Status(status)) => status,
                Err(Stop::Trap(trap)) => return Err(trap),
            },
        };
        guest.host().world.answered(name, context, status);
        Ok(status.0)
    }

    fn host(&mut self) -> &mut Host {
        self.caller.data_mut()
    }

    /// Copies an argument from the guest's memory.
    fn read(&self, pointer: u32, len: u32) -> Result<Vec<u8>, Stop> {
        let memory = self.caller.data().memory.ok_or(Status::INTERNAL_FAILURE)?;
        let (start, len) = (address(pointer)?, address(len)?);
        if len > MAX_ARGUMENT_BYTES {
            return Err(Status::BAD_ARGUMENT.into());
        }
        let end = start
            .checked_add(len)
            .ok_or(Status::INVALID_MEMORY_ACCESS)?;
        let bytes = memory.data(&self.caller).get(start..end);
        Ok(bytes.ok_or(Status::INVALID_MEMORY_ACCESS)?.to_vec())
    }

    /// Writes `bytes` at `pointer`.
    fn write(&mut self, pointer: u32, bytes: &[u8]) -> Result<(), Stop> {
        let memory = self.caller.data().memory.ok_or(Status::INTERNAL_FAILURE)?;
        let start = address(pointer)?;
        memory
            .write(&mut self.caller, start, bytes)
            .map_err(|_| Status::INVALID_MEMORY_ACCESS.into())
    }

    fn write_u32(&mut self, pointer: u32, number: u32) -> Result<(), Stop> {
        self.write(pointer, &number.to_le_bytes())
    }

    fn write_u64(&mut self, pointer: u32, number: u64) -> Result<(), Stop> {
        self.write(pointer, &number.to_le_bytes())
    }

    /// Passes `bytes` to the guest, in memory from the guest's own allocator. Writes their address
    /// and length to the two pointers. No bytes at all give the null pointer and length 0.
    fn give(&mut self, pointer: u32, length: u32, bytes: &[u8]) -> Result<(), Stop> {
        let size = u32::try_from(bytes.len()).map_err(|_| Status::INTERNAL_FAILURE)?;
        let place = if size == 0 { 0 } else { self.allocate(size)? };
        self.write(place, bytes)?;
        self.write_u32(pointer, place)?;
        self.write_u32(length, size)
    }

    fn allocate(&mut self, size: u32) -> Result<u32, Stop> {
        let malloc = self.host().malloc.clone().ok_or(Status::INTERNAL_FAILURE)?;
        match malloc.call(&mut self.caller, size) {
            Ok(0) => Err(Status::INVALID_MEMORY_ACCESS.into()),
            Ok(place) => Ok(place),
            Err(trap) => Err(Stop::Trap(trap)),
        }
    }
}

fn address(number: u32) -> Result<usize, Stop> {
    usize::try_from(number).map_err(|_| Status::INVALID_MEMORY_ACCESS.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_that_are_registered() {
        let groups = [
            include_str!("hostcalls/buffers.rs"),
            include_str!("hostcalls/calls.rs"),
            include_str!("hostcalls/environment.rs"),
            include_str!("hostcalls/headers.rs"),
            include_str!("hostcalls/metrics.rs"),
            include_str!("hostcalls/properties.rs"),
            include_str!("hostcalls/queues.rs"),
            include_str!("hostcalls/shared_data.rs"),
            include_str!("hostcalls/streams.rs"),
        ];
        let literals = groups
            .iter()
            .flat_map(|code| code.split('"').skip(1).step_by(2));
        let mut registered: Vec<_> = literals.filter(|text| text.starts_with("proxy_")).collect();
        registered.sort_unstable();
        registered.dedup();
        assert_eq!(registered, NAMES);
    }
}
