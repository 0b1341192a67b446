//! The requests of this VM, by the proxy's number of each.
#![cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, reason = "only a VM has callbacks")
)]

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::host::{self, Action};
use crate::pair::pick_role::Gated;
use crate::plugin::registry::{self, Plugin};
use crate::request::stream::HttpFilter;

/// A request, by the role of its plugin.
#[derive(Debug)]
enum Context {
    Placed(Box<HttpFilter>),
    Gated(Gated),
}

thread_local! {
    static REQUESTS: RefCell<BTreeMap<u32, Context>> = const { RefCell::new(BTreeMap::new()) };
}

/// Runs `run` on the map. Returns `None` if the proxy called back during a hostcall. That should
/// not happen, and a panic would trap the VM.
fn with<R>(run: impl FnOnce(&mut BTreeMap<u32, Context>) -> R) -> Option<R> {
    REQUESTS.with(|requests| {
        requests
            .try_borrow_mut()
            .ok()
            .map(|mut requests| run(&mut requests))
    })
}

/// Creates a request of a plugin. Keeps nothing if the plugin is not configured; its requests go
/// on.
pub(crate) fn create(context_id: u32, root_id: u32) {
    let context = match registry::find(root_id) {
        Some(Plugin::Decides(plugin)) => {
            Context::Placed(Box::new(HttpFilter::new(plugin, context_id)))
        }
        Some(Plugin::Gates(gate)) => Context::Gated(Gated::new(gate, context_id)),
        None => return,
    };
    with(|requests| requests.insert(context_id, context));
}

/// Runs a callback of a request. An unknown request goes on.
fn call(context_id: u32, run: impl FnOnce(&mut Context) -> Action) -> Action {
    with(|requests| requests.get_mut(&context_id).map(run))
        .flatten()
        .unwrap_or(Action::Continue)
}

/// Runs a callback of a request that this VM places.
pub(crate) fn placed(context_id: u32, run: impl FnOnce(&mut HttpFilter) -> Action) -> Action {
    call(context_id, |context| match context {
        Context::Placed(request) => run(request),
        Context::Gated(_) => Action::Continue,
    })
}

/// Handles the headers of a request.
pub(crate) fn on_request_headers(context_id: u32, end_of_stream: bool) -> Action {
    call(context_id, |context| match context {
        Context::Placed(request) => request.on_request_headers(end_of_stream),
        Context::Gated(request) => request.on_request_headers(),
    })
}

/// Lets requests of this VM go on that have waited too long for their bodies, or whose plugin is
/// removed. `root_id` is the plugin whose callback runs.
pub(crate) fn let_overdue_go(root_id: u32) {
    let let_go = with(|requests| {
        requests.values_mut().fold(false, |any, context| {
            let let_go = match context {
                Context::Placed(request) => request.on_tick(),
                Context::Gated(_) => false,
            };
            any || let_go
        })
    });
    if let_go == Some(true) {
        // The hostcalls must concern the plugin again, not the request.
        registry::checked(root_id, host::set_effective_context(root_id));
    }
}

/// Handles the end of a stream, however it ended. The proxy still answers questions about the
/// stream, but makes no more callbacks.
pub(crate) fn on_done(context_id: u32) {
    // The request ends after the map is free again, because keeping the books makes hostcalls.
    let ended = with(|requests| requests.remove(&context_id)).flatten();
    if let Some(Context::Placed(mut request)) = ended {
        request.on_done();
    }
}
