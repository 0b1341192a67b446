//! The requests of this VM, by the numbers that the proxy gave them.
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

/// Runs something on the map. `None`: the proxy called back while it was being called, which it never has a reason to.
fn with<R>(run: impl FnOnce(&mut BTreeMap<u32, Context>) -> R) -> Option<R> {
    REQUESTS.with(|requests| {
        requests
            .try_borrow_mut()
            .ok()
            .map(|mut requests| run(&mut requests))
    })
}

/// A new request of a plugin. Of one that is not configured nothing is kept: its requests go on.
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

/// Runs a callback of a request. A request that is not known goes on.
fn call(context_id: u32, run: impl FnOnce(&mut Context) -> Action) -> Action {
    with(|requests| requests.get_mut(&context_id).map(run))
        .flatten()
        .unwrap_or(Action::Continue)
}

/// Runs a callback of a request that is placed here.
pub(crate) fn placed(context_id: u32, run: impl FnOnce(&mut HttpFilter) -> Action) -> Action {
    call(context_id, |context| match context {
        Context::Placed(request) => run(request),
        Context::Gated(_) => Action::Continue,
    })
}

/// The headers of a request came.
pub(crate) fn on_request_headers(context_id: u32, end_of_stream: bool) -> Action {
    call(context_id, |context| match context {
        Context::Placed(request) => request.on_request_headers(end_of_stream),
        Context::Gated(request) => request.on_request_headers(),
    })
}

/// Lets requests go on that have waited too long for the rest of their bodies, or whose plugin of that number is going.
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
        // The proxy has to be told again whom calls speak of.
        registry::checked(root_id, host::set_effective_context(root_id));
    }
}

/// The stream ended, in whatever way. The proxy still answers questions about it, but will not call again.
pub(crate) fn on_done(context_id: u32) {
    // Ended after the map is free again: keeping the books asks the host.
    let ended = with(|requests| requests.remove(&context_id)).flatten();
    if let Some(Context::Placed(mut request)) = ended {
        request.on_done();
    }
}
