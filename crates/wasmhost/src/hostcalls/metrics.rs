//! Hostcalls for metrics.

use wasmtime::{Caller, Linker};

use super::Guest;
use crate::abi::MetricType;
use crate::host::Host;

pub(super) fn register(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    const DEFINE: &str = "proxy_define_metric";
    linker.func_wrap(
        "env",
        DEFINE,
        |caller: Caller<'_, Host>, kind: u32, name: u32, name_len: u32, out: u32| {
            Guest::enter(caller, DEFINE, |guest| {
                let kind = MetricType::try_from(kind)?;
                let name = guest.read(name, name_len)?;
                let id = guest.host().shared.metrics().define(kind, &name)?;
                guest.write_u32(out, id)
            })
        },
    )?;
    const INCREMENT: &str = "proxy_increment_metric";
    linker.func_wrap(
        "env",
        INCREMENT,
        |caller: Caller<'_, Host>, id: u32, by: i64| {
            Guest::enter(caller, INCREMENT, |guest| {
                Ok(guest.host().shared.metrics().increment(id, by)?)
            })
        },
    )?;
    const RECORD: &str = "proxy_record_metric";
    linker.func_wrap(
        "env",
        RECORD,
        |caller: Caller<'_, Host>, id: u32, value: u64| {
            Guest::enter(caller, RECORD, |guest| {
                Ok(guest.host().shared.metrics().record(id, value)?)
            })
        },
    )?;
    const GET: &str = "proxy_get_metric";
    linker.func_wrap("env", GET, |caller: Caller<'_, Host>, id: u32, out: u32| {
        Guest::enter(caller, GET, |guest| {
            let value = guest.host().shared.metrics().get(id)?;
            guest.write_u64(out, value)
        })
    })?;
    Ok(())
}
