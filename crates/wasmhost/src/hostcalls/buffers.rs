//! Hostcalls for bodies and configurations.

use wasmtime::{Caller, Linker};

use super::Guest;
use crate::abi::{BufferType, Status};
use crate::host::Host;

pub(super) fn register(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    const GET: &str = "proxy_get_buffer_bytes";
    linker.func_wrap(
        "env",
        GET,
        |caller: Caller<'_, Host>, buffer: u32, start: u32, max: u32, out: u32, out_len: u32| {
            Guest::enter(caller, GET, |guest| {
                if start.checked_add(max).is_none() {
                    return Err(Status::BAD_ARGUMENT.into());
                }
                let bytes = guest.host().buffer(BufferType::try_from(buffer)?)?;
                let (start, max) = (super::address(start)?, super::address(max)?);
                let from = bytes.get(start..).unwrap_or_default();
                let part = from.get(..max).unwrap_or(from).to_vec();
                // Without bytes the call succeeds and leaves the out-pointers unchanged.
                if part.is_empty() {
                    Ok(())
                } else {
                    guest.give(out, out_len, &part)
                }
            })
        },
    )?;
    const STATUS: &str = "proxy_get_buffer_status";
    linker.func_wrap(
        "env",
        STATUS,
        |caller: Caller<'_, Host>, buffer: u32, out_len: u32, out_flags: u32| {
            Guest::enter(caller, STATUS, |guest| {
                let len = guest.host().buffer(BufferType::try_from(buffer)?)?.len();
                guest.write_u32(out_len, u32::try_from(len).unwrap_or(u32::MAX))?;
                guest.write_u32(out_flags, 0)
            })
        },
    )?;
    const SET: &str = "proxy_set_buffer_bytes";
    linker.func_wrap(
        "env",
        SET,
        |caller: Caller<'_, Host>, buffer: u32, start: u32, size: u32, data: u32, data_len: u32| {
            Guest::enter(caller, SET, |guest| {
                let data = guest.read(data, data_len)?;
                let (start, size) = (super::address(start)?, super::address(size)?);
                Ok(guest
                    .host()
                    .set_buffer(BufferType::try_from(buffer)?, start, size, data)?)
            })
        },
    )?;
    Ok(())
}

impl Host {
    fn buffer(&self, buffer: BufferType) -> Result<&[u8], Status> {
        let stream = || self.stream().ok_or(Status::NOT_FOUND);
        match buffer {
            BufferType::RequestBody => stream()?.request.visible_body().ok_or(Status::NOT_FOUND),
            BufferType::ResponseBody => stream()?.response.visible_body().ok_or(Status::NOT_FOUND),
            BufferType::CallBody => Ok(&self.answer.as_ref().ok_or(Status::NOT_FOUND)?.body),
            BufferType::VmConfiguration => Ok(&self.vm_configuration),
            BufferType::PluginConfiguration => Ok(&self.plugin_configuration),
            BufferType::Other => Err(Status::NOT_FOUND),
        }
    }

    /// Replaces the `size` bytes from `start` by `data`. A `start` beyond the end appends.
    fn set_buffer(
        &mut self,
        buffer: BufferType,
        start: usize,
        size: usize,
        data: Vec<u8>,
    ) -> Result<(), Status> {
        let stream = self.stream_mut().ok_or(Status::NOT_FOUND)?;
        let body = match buffer {
            BufferType::RequestBody => stream.request.visible_body_mut(),
            BufferType::ResponseBody => stream.response.visible_body_mut(),
            _ => return Err(Status::BAD_ARGUMENT),
        }
        .ok_or(Status::NOT_FOUND)?;
        let start = start.min(body.len());
        let end = start.saturating_add(size).min(body.len());
        body.splice(start..end, data);
        Ok(())
    }
}
