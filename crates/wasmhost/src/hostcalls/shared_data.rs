//! Hostcalls for the key-value data of all VMs.

use wasmtime::{Caller, Linker};

use super::Guest;
use crate::abi::Status;
use crate::host::Host;

pub(super) fn register(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    const GET: &str = "proxy_get_shared_data";
    linker.func_wrap(
        "env",
        GET,
        |caller: Caller<'_, Host>, key: u32, key_len: u32, out: u32, out_len: u32, out_cas: u32| {
            Guest::enter(caller, GET, |guest| {
                let key = guest.read(key, key_len)?;
                let (value, cas) = guest.host().shared.get(&key).ok_or(Status::NOT_FOUND)?;
                guest.give(out, out_len, &value)?;
                guest.write_u32(out_cas, cas)
            })
        },
    )?;
    const SET: &str = "proxy_set_shared_data";
    linker.func_wrap(
        "env",
        SET,
        |caller: Caller<'_, Host>, key: u32, key_len: u32, value: u32, value_len: u32, cas: u32| {
            Guest::enter(caller, SET, |guest| {
                let (key, value) = (guest.read(key, key_len)?, guest.read(value, value_len)?);
                Ok(guest.host().shared.data().set(&key, &value, cas)?)
            })
        },
    )?;
    Ok(())
}
