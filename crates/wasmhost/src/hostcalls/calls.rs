//! Hostcalls for call-outs over HTTP. Call-outs over gRPC fail as if their cluster did not exist.

use wasmtime::{Caller, FuncType, Linker, Val, ValType};

use super::Guest;
use crate::abi::Status;
use crate::headers::HeaderMap;
use crate::host::Host;
use crate::world::HttpCall;

/// Most call-outs without an answer, over all contexts of a VM.
const MAX_OPEN_CALLS: usize = 10_000;

pub(super) fn register(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    const CALL: &str = "proxy_http_call";
    linker.func_wrap(
        "env",
        CALL,
        |caller: Caller<'_, Host>,
         cluster: u32,
         cluster_len: u32,
         headers: u32,
         headers_len: u32,
         body: u32,
         body_len: u32,
         trailers: u32,
         trailers_len: u32,
         timeout_ms: u32,
         out: u32| {
            Guest::enter(caller, CALL, |guest| {
                let call = HttpCall {
                    token: 0,
                    cluster: String::from_utf8_lossy(&guest.read(cluster, cluster_len)?)
                        .into_owned(),
                    headers: pairs(&guest.read(headers, headers_len)?)?,
                    body: guest.read(body, body_len)?,
                    trailers: pairs(&guest.read(trailers, trailers_len)?)?,
                    timeout_ms,
                };
                let token = guest.host().http_call(call)?;
                guest.write_u32(out, token)
            })
        },
    )?;
    const STATUS: &str = "proxy_get_status";
    linker.func_wrap(
        "env",
        STATUS,
        |caller: Caller<'_, Host>, out_code: u32, out: u32, out_len: u32| {
            Guest::enter(caller, STATUS, |guest| {
                let (code, message) = guest.host().call_status.clone();
                guest.write_u32(out_code, code)?;
                guest.give(out, out_len, &message)
            })
        },
    )?;
    register_grpc(linker)
}

/// Registers the gRPC call-outs: name, number of arguments (all numbers), and result. The results
/// are those of a cluster that does not exist, and of a call that was never made.
fn register_grpc(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    for (name, arguments, status) in [
        ("proxy_grpc_call", 12, Status::BAD_ARGUMENT),
        ("proxy_grpc_stream", 9, Status::BAD_ARGUMENT),
        ("proxy_grpc_send", 4, Status::BAD_ARGUMENT),
        ("proxy_grpc_cancel", 1, Status::NOT_FOUND),
        ("proxy_grpc_close", 1, Status::NOT_FOUND),
    ] {
        let kind = FuncType::new(
            linker.engine(),
            std::iter::repeat_n(ValType::I32, arguments),
            [ValType::I32],
        );
        linker.func_new("env", name, kind, move |caller, _, results| {
            let status = Guest::enter(caller, name, |_| Err(status.into()))?;
            if let Some(result) = results.first_mut() {
                *result = Val::I32(status.cast_signed());
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn pairs(bytes: &[u8]) -> Result<HeaderMap, Status> {
    HeaderMap::from_bytes(bytes).map_err(|_| Status::BAD_ARGUMENT)
}

impl Host {
    /// Sends a call-out. Envoy checks the cluster first, and then the three headers that every
    /// request needs. This host checks the headers first.
    fn http_call(&mut self, mut call: HttpCall) -> Result<u32, Status> {
        let complete = [":method", ":path", ":authority"]
            .iter()
            .all(|name| call.headers.get(name.as_bytes()).is_some());
        if !complete {
            return Err(Status::BAD_ARGUMENT);
        }
        if self.calls.len() >= MAX_OPEN_CALLS {
            return Err(Status::INTERNAL_FAILURE);
        }
        let token = self.last_token.checked_add(1).unwrap_or(1);
        call.token = token;
        self.world.http_call(call)?;
        self.last_token = token;
        self.calls.insert(token, self.context());
        Ok(token)
    }
}
