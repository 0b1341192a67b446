//! Hostcalls for clock, log, ticks and contexts.

use wasmtime::{Caller, Linker};

use super::Guest;
use crate::abi::{LogLevel, Status};
use crate::host::Host;

pub(super) fn register(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    register_log(linker)?;
    register_clock(linker)?;
    register_contexts(linker)
}

fn register_log(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    const LOG: &str = "proxy_log";
    linker.func_wrap(
        "env",
        LOG,
        |caller: Caller<'_, Host>, level: u32, message: u32, message_len: u32| {
            Guest::enter(caller, LOG, |guest| {
                let level = LogLevel::try_from(level)?;
                let message = guest.read(message, message_len)?;
                guest.host().world.log(level, &message);
                Ok(())
            })
        },
    )?;
    const LEVEL: &str = "proxy_get_log_level";
    linker.func_wrap("env", LEVEL, |caller: Caller<'_, Host>, out: u32| {
        Guest::enter(caller, LEVEL, |guest| {
            guest.write_u32(out, LogLevel::Debug as u32)
        })
    })?;
    Ok(())
}

fn register_clock(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    const NOW: &str = "proxy_get_current_time_nanoseconds";
    linker.func_wrap("env", NOW, |caller: Caller<'_, Host>, out: u32| {
        Guest::enter(caller, NOW, |guest| {
            let now = guest.host().world.now_ns();
            guest.write_u64(out, now)
        })
    })?;
    const TICK: &str = "proxy_set_tick_period_milliseconds";
    linker.func_wrap("env", TICK, |caller: Caller<'_, Host>, period_ms: u32| {
        Guest::enter(caller, TICK, |guest| {
            guest.host().tick_period_ms = period_ms;
            Ok(())
        })
    })?;
    Ok(())
}

fn register_contexts(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    const EFFECTIVE: &str = "proxy_set_effective_context";
    linker.func_wrap(
        "env",
        EFFECTIVE,
        |caller: Caller<'_, Host>, context: u32| {
            Guest::enter(caller, EFFECTIVE, |guest| {
                guest.host().known(context)?;
                guest.host().effective = Some(context);
                Ok(())
            })
        },
    )?;
    const DONE: &str = "proxy_done";
    linker.func_wrap("env", DONE, |caller: Caller<'_, Host>| {
        Guest::enter(caller, DONE, |guest| {
            if std::mem::take(&mut guest.host().done_pending) {
                Ok(())
            } else {
                Err(Status::INTERNAL_FAILURE.into())
            }
        })
    })?;
    Ok(())
}
