//! The requests of this VM, by the numbers that the proxy gave them.
#![cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, reason = "only a VM has callbacks")
)]

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::host::Action;
use crate::http::HttpFilter;

thread_local! {
    static REQUESTS: RefCell<BTreeMap<u32, HttpFilter>> = const { RefCell::new(BTreeMap::new()) };
}

/// Runs something on the map. `None`: the proxy called back while it was being called, which it never has a reason to.
fn with<R>(run: impl FnOnce(&mut BTreeMap<u32, HttpFilter>) -> R) -> Option<R> {
    REQUESTS.with(|requests| {
        requests
            .try_borrow_mut()
            .ok()
            .map(|mut requests| run(&mut requests))
    })
}

/// A new request of a plugin.
pub(crate) fn create(context_id: u32, root_id: u32) {
    let request = HttpFilter::new(root_id);
    with(|requests| requests.insert(context_id, request));
}

/// Runs a callback of a request. A request that is not known goes on.
pub(crate) fn action(context_id: u32, run: impl FnOnce(&mut HttpFilter) -> Action) -> Action {
    with(|requests| requests.get_mut(&context_id).map(run))
        .flatten()
        .unwrap_or(Action::Continue)
}

/// The stream ended, in whatever way. The proxy still answers questions about it, but will not call again.
pub(crate) fn on_done(context_id: u32) {
    // Ended after the map is free again: keeping the books asks the host.
    let ended = with(|requests| requests.remove(&context_id)).flatten();
    if let Some(mut request) = ended {
        request.on_done();
    }
}
