//! The host's side of one VM: all that hostcalls read and write.

use std::collections::BTreeMap;

use wasmtime::{Memory, StoreLimits, TypedFunc};

use crate::abi::{Direction, Status};
use crate::shared::{Shared, VmNumber};
use crate::stream::{LocalReply, Stream};
use crate::world::{CallAnswer, World};

/// A request of a hostcall that is carried out only after the callback has returned, as in Envoy.
#[derive(Debug)]
pub(crate) enum Deferred {
    Continue(u32, Direction),
    LocalReply(u32, LocalReply),
    Close(u32),
}

/// The data of a wasmtime store.
pub(crate) struct Host {
    pub(crate) world: Box<dyn World>,
    pub(crate) shared: Shared,
    pub(crate) vm: VmNumber,
    pub(crate) limits: StoreLimits,
    pub(crate) memory: Option<Memory>,
    pub(crate) malloc: Option<TypedFunc<u32, u32>>,

    pub(crate) vm_configuration: Vec<u8>,
    pub(crate) plugin_configuration: Vec<u8>,
    /// Milliseconds between ticks. 0: no ticks.
    pub(crate) tick_period_ms: u32,

    /// The context whose callback runs.
    pub(crate) current: u32,
    /// The context set by `proxy_set_effective_context`. Replaces `current` until the callback
    /// ends.
    pub(crate) effective: Option<u32>,
    pub(crate) streams: BTreeMap<u32, Stream>,

    /// The context of each call-out without an answer, by token.
    pub(crate) calls: BTreeMap<u32, u32>,
    pub(crate) last_token: u32,
    /// The answer that the current `proxy_on_http_call_response` is about.
    pub(crate) answer: Option<CallAnswer>,
    /// Status code and message of the last call-out, for `proxy_get_status`.
    pub(crate) call_status: (u32, Vec<u8>),

    /// Whether the root context answered "not yet" to `proxy_on_done`.
    pub(crate) done_pending: bool,
    pub(crate) deferred: Vec<Deferred>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("vm", &self.vm)
            .field("current", &self.current)
            .field("streams", &self.streams.len())
            .field("calls", &self.calls.len())
            .finish_non_exhaustive()
    }
}

impl Host {
    /// Returns the context that a hostcall is about.
    pub(crate) fn context(&self) -> u32 {
        self.effective.unwrap_or(self.current)
    }

    /// Returns the stream that a hostcall is about, or `None` in a root context.
    pub(crate) fn stream(&self) -> Option<&Stream> {
        self.streams.get(&self.context())
    }

    pub(crate) fn stream_mut(&mut self) -> Option<&mut Stream> {
        self.streams
            .get_mut(&self.effective.unwrap_or(self.current))
    }

    /// Returns `Ok` for the root context and for every open stream.
    pub(crate) fn known(&self, context: u32) -> Result<(), Status> {
        if context == crate::abi::ROOT || self.streams.contains_key(&context) {
            Ok(())
        } else {
            Err(Status::BAD_ARGUMENT)
        }
    }
}
