//! The guest's exported callbacks. A callback that is not exported is not called, and counts as
//! `Continue`.

use wasmtime::{Instance, Store, TypedFunc, WasmParams, WasmResults};

use crate::error::HostError;
use crate::host::Host;

type Headers = TypedFunc<(u32, u32, u32), u32>;
type Trailers = TypedFunc<(u32, u32), u32>;
type CallResponse = TypedFunc<(u32, u32, u32, u32, u32), ()>;

/// The exported functions with their types.
pub(super) struct Callbacks {
    /// Fuel for each callback.
    pub(super) fuel: Option<u64>,
    pub(super) initialize: Option<TypedFunc<(), ()>>,
    pub(super) malloc: Option<TypedFunc<u32, u32>>,
    pub(super) context_create: Option<TypedFunc<(u32, u32), ()>>,
    pub(super) vm_start: Option<TypedFunc<(u32, u32), u32>>,
    pub(super) configure: Option<TypedFunc<(u32, u32), u32>>,
    pub(super) tick: Option<TypedFunc<u32, ()>>,
    pub(super) queue_ready: Option<TypedFunc<(u32, u32), ()>>,
    pub(super) call_response: Option<CallResponse>,
    pub(super) request_headers: Option<Headers>,
    pub(super) request_body: Option<Headers>,
    pub(super) request_trailers: Option<Trailers>,
    pub(super) response_headers: Option<Headers>,
    pub(super) response_body: Option<Headers>,
    pub(super) response_trailers: Option<Trailers>,
    pub(super) done: Option<TypedFunc<u32, u32>>,
    pub(super) log: Option<TypedFunc<u32, ()>>,
    pub(super) delete: Option<TypedFunc<u32, ()>>,
}

impl std::fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callbacks")
            .field("fuel", &self.fuel)
            .finish_non_exhaustive()
    }
}

impl Callbacks {
    /// Finds the callbacks that the guest exports.
    ///
    /// # Errors
    /// Returns [`HostError::Link`] if a callback of the ABI is exported with another signature.
    pub(super) fn new(
        instance: &Instance,
        store: &mut Store<Host>,
        fuel: Option<u64>,
    ) -> Result<Self, HostError> {
        let mut exports = Exports { instance, store };
        Ok(Self {
            fuel,
            initialize: exports.first(&["_initialize", "_start"])?,
            malloc: exports.first(&["proxy_on_memory_allocate", "malloc"])?,
            context_create: exports.first(&["proxy_on_context_create"])?,
            vm_start: exports.first(&["proxy_on_vm_start"])?,
            configure: exports.first(&["proxy_on_configure"])?,
            tick: exports.first(&["proxy_on_tick"])?,
            queue_ready: exports.first(&["proxy_on_queue_ready"])?,
            call_response: exports.first(&["proxy_on_http_call_response"])?,
            request_headers: exports.first(&["proxy_on_request_headers"])?,
            request_body: exports.first(&["proxy_on_request_body"])?,
            request_trailers: exports.first(&["proxy_on_request_trailers"])?,
            response_headers: exports.first(&["proxy_on_response_headers"])?,
            response_body: exports.first(&["proxy_on_response_body"])?,
            response_trailers: exports.first(&["proxy_on_response_trailers"])?,
            done: exports.first(&["proxy_on_done"])?,
            log: exports.first(&["proxy_on_log"])?,
            delete: exports.first(&["proxy_on_delete"])?,
        })
    }
}

struct Exports<'a> {
    instance: &'a Instance,
    store: &'a mut Store<Host>,
}

impl Exports<'_> {
    fn first<P: WasmParams, R: WasmResults>(
        &mut self,
        names: &[&str],
    ) -> Result<Option<TypedFunc<P, R>>, HostError> {
        for name in names {
            if let Some(function) = self.instance.get_func(&mut *self.store, name) {
                let typed = function.typed(&*self.store).map_err(HostError::link)?;
                return Ok(Some(typed));
            }
        }
        Ok(None)
    }
}
