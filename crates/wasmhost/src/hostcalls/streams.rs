//! Hostcalls that resume, answer and cut streams. All of them take effect after the callback has
//! returned.

use wasmtime::{Caller, Linker};

use super::Guest;
use crate::abi::{Direction, Status};
use crate::headers::HeaderMap;
use crate::host::{Deferred, Host};
use crate::stream::LocalReply;

pub(super) fn register(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    const CONTINUE: &str = "proxy_continue_stream";
    linker.func_wrap("env", CONTINUE, |caller: Caller<'_, Host>, stream: u32| {
        Guest::enter(caller, CONTINUE, |guest| {
            Ok(guest.host().continue_stream(stream)?)
        })
    })?;
    const CLOSE: &str = "proxy_close_stream";
    linker.func_wrap("env", CLOSE, |caller: Caller<'_, Host>, stream: u32| {
        Guest::enter(caller, CLOSE, |guest| {
            Ok(guest.host().close_stream(stream)?)
        })
    })?;
    const REPLY: &str = "proxy_send_local_response";
    linker.func_wrap(
        "env",
        REPLY,
        |caller: Caller<'_, Host>,
         status: u32,
         details: u32,
         details_len: u32,
         body: u32,
         body_len: u32,
         headers: u32,
         headers_len: u32,
         _grpc_status: i32| {
            Guest::enter(caller, REPLY, |guest| {
                let _details = guest.read(details, details_len)?;
                let body = guest.read(body, body_len)?;
                let headers = HeaderMap::from_bytes(&guest.read(headers, headers_len)?)
                    .map_err(|_| Status::BAD_ARGUMENT)?;
                Ok(guest.host().local_reply(LocalReply {
                    status,
                    headers,
                    body,
                })?)
            })
        },
    )?;
    Ok(())
}

fn direction(stream: u32) -> Result<Direction, Status> {
    match stream {
        0 => Ok(Direction::Request),
        1 => Ok(Direction::Response),
        _ => Err(Status::BAD_ARGUMENT),
    }
}

impl Host {
    /// Resumes a direction. The guest does not see its maps and body any more. In a root context
    /// the call succeeds and does nothing, as in Envoy, whose callbacks pointer is null there.
    fn continue_stream(&mut self, stream: u32) -> Result<(), Status> {
        let direction = direction(stream)?;
        let context = self.context();
        if let Some(stream) = self.stream_mut() {
            stream.half(direction).hide();
            self.deferred.push(Deferred::Continue(context, direction));
        }
        Ok(())
    }

    fn close_stream(&mut self, stream: u32) -> Result<(), Status> {
        direction(stream)?;
        let context = self.context();
        if self.stream().is_some() {
            self.deferred.push(Deferred::Close(context));
        }
        Ok(())
    }

    /// Makes a local reply. A stream can have one, and none after the response has begun.
    fn local_reply(&mut self, reply: LocalReply) -> Result<(), Status> {
        if !(200..600).contains(&reply.status) {
            return Err(Status::BAD_ARGUMENT);
        }
        let context = self.context();
        let stream = self.stream_mut().ok_or(Status::BAD_ARGUMENT)?;
        if stream.replied || stream.response.begun {
            return Err(Status::BAD_ARGUMENT);
        }
        stream.replied = true;
        self.deferred.push(Deferred::LocalReply(context, reply));
        Ok(())
    }
}
