//! Hostcalls for the queues of all VMs. There is one `vm_id`, so a guest's `vm_id` for a queue does
//! not matter.

use wasmtime::{Caller, Linker};

use super::Guest;
use crate::host::Host;

pub(super) fn register(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    const REGISTER: &str = "proxy_register_shared_queue";
    linker.func_wrap(
        "env",
        REGISTER,
        |caller: Caller<'_, Host>, name: u32, name_len: u32, out: u32| {
            Guest::enter(caller, REGISTER, |guest| {
                let name = guest.read(name, name_len)?;
                let host = guest.host();
                let id = host
                    .shared
                    .queues()
                    .register(&name, (host.vm, host.context()))?;
                guest.write_u32(out, id)
            })
        },
    )?;
    const RESOLVE: &str = "proxy_resolve_shared_queue";
    linker.func_wrap(
        "env",
        RESOLVE,
        |caller: Caller<'_, Host>, vm: u32, vm_len: u32, name: u32, name_len: u32, out: u32| {
            Guest::enter(caller, RESOLVE, |guest| {
                let (_vm, name) = (guest.read(vm, vm_len)?, guest.read(name, name_len)?);
                let id = guest.host().shared.queues().resolve(&name)?;
                guest.write_u32(out, id)
            })
        },
    )?;
    const ENQUEUE: &str = "proxy_enqueue_shared_queue";
    linker.func_wrap(
        "env",
        ENQUEUE,
        |caller: Caller<'_, Host>, id: u32, message: u32, message_len: u32| {
            Guest::enter(caller, ENQUEUE, |guest| {
                let message = guest.read(message, message_len)?;
                Ok(guest.host().shared.queues().enqueue(id, &message)?)
            })
        },
    )?;
    const DEQUEUE: &str = "proxy_dequeue_shared_queue";
    linker.func_wrap(
        "env",
        DEQUEUE,
        |caller: Caller<'_, Host>, id: u32, out: u32, out_len: u32| {
            Guest::enter(caller, DEQUEUE, |guest| {
                let message = guest.host().shared.queues().dequeue(id)?;
                guest.give(out, out_len, &message)
            })
        },
    )?;
    Ok(())
}
