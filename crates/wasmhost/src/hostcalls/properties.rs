//! Hostcalls for properties of streams, and for functions outside of the ABI.

use wasmtime::{Caller, Linker};

use super::Guest;
use crate::abi::Status;
use crate::host::Host;

/// Most properties that a guest may set on one stream.
const MAX_PROPERTIES: usize = 1_000;

pub(super) fn register(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    const GET: &str = "proxy_get_property";
    linker.func_wrap(
        "env",
        GET,
        |caller: Caller<'_, Host>, path: u32, path_len: u32, out: u32, out_len: u32| {
            Guest::enter(caller, GET, |guest| {
                let path = guest.read(path, path_len)?;
                let value = guest.host().property(&path)?;
                guest.give(out, out_len, &value)
            })
        },
    )?;
    const SET: &str = "proxy_set_property";
    linker.func_wrap(
        "env",
        SET,
        |caller: Caller<'_, Host>, path: u32, path_len: u32, value: u32, value_len: u32| {
            Guest::enter(caller, SET, |guest| {
                let (path, value) = (guest.read(path, path_len)?, guest.read(value, value_len)?);
                let stream = guest.host().stream_mut().ok_or(Status::NOT_FOUND)?;
                if stream.state.len() >= MAX_PROPERTIES && !stream.state.contains_key(&path) {
                    return Err(Status::INTERNAL_FAILURE.into());
                }
                stream.state.insert(path, value);
                Ok(())
            })
        },
    )?;
    const FOREIGN: &str = "proxy_call_foreign_function";
    linker.func_wrap(
        "env",
        FOREIGN,
        |caller: Caller<'_, Host>,
         name: u32,
         name_len: u32,
         argument: u32,
         argument_len: u32,
         out: u32,
         out_len: u32| {
            Guest::enter(caller, FOREIGN, |guest| {
                let (name, argument) = (
                    guest.read(name, name_len)?,
                    guest.read(argument, argument_len)?,
                );
                let result = guest.host().world.foreign_function(&name, &argument)?;
                guest.give(out, out_len, &result)
            })
        },
    )?;
    Ok(())
}

impl Host {
    /// Returns a property. The proxy's own attributes come first, so a guest cannot overwrite
    /// `upstream.address` for another filter.
    fn property(&mut self, path: &[u8]) -> Result<Vec<u8>, Status> {
        let of_stream = self.stream().and_then(|stream| {
            stream
                .attributes
                .get(path)
                .or_else(|| stream.state.get(path))
        });
        if let Some(value) = of_stream {
            return Ok(value.clone());
        }
        self.world.property(path).ok_or(Status::NOT_FOUND)
    }
}
