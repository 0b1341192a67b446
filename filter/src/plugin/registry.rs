//! The plugins of this VM: configuration, ticks, queues, answers of the aggregator.
#![cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, reason = "only a VM has callbacks")
)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use trimtab_pick::Rng;

use crate::config::{Config, Role};
use crate::facts::{Digest, HashKey, Purpose};
use crate::host::{self, Buffer, HostError, Level};
use crate::pair::pick_role::PickPlugin;
use crate::plugin::deciding::DecidingPlugin;
use crate::pool::Pool;
use crate::sync::exchange;
use crate::sync::holder;
use crate::sync::lease::When;
use crate::sync::shared::Keys;
use crate::sync::wakeup;

/// A configured plugin, by its role.
#[derive(Debug, Clone)]
pub(crate) enum Plugin {
    /// Reads requests and decides: roles single and tap.
    Decides(Rc<DecidingPlugin>),
    /// Holds headers: role pick.
    Gates(Rc<PickPlugin>),
}

thread_local! {
    /// The configured plugins of this VM. Envoy puts plugins whose code and VM settings are equal
    /// into one VM.
    static PLUGINS: RefCell<BTreeMap<u32, Plugin>> = const { RefCell::new(BTreeMap::new()) };
}

/// Returns the plugin of a root context. `None`: it is not configured.
pub(crate) fn find(root_id: u32) -> Option<Plugin> {
    PLUGINS.with(|plugins| plugins.try_borrow().ok()?.get(&root_id).cloned())
}

fn register(root_id: u32, plugin: Option<Plugin>) {
    PLUGINS.with(|plugins| {
        if let Ok(mut plugins) = plugins.try_borrow_mut() {
            match plugin {
                Some(plugin) => plugins.insert(root_id, plugin),
                None => plugins.remove(&root_id),
            };
        }
    });
}

/// Takes a configuration. Returns `false` if it has problems, after logging each. Envoy then
/// rejects the listener at start, and keeps the old one on an update. Otherwise it would serve with
/// a filter that silently does nothing.
pub(crate) fn on_configure(root_id: u32, config_bytes: usize) -> bool {
    match configure(root_id, config_bytes) {
        Ok(()) => true,
        Err(problems) => {
            for problem in problems.lines() {
                host::log(Level::Error, &format!("trimtab: {problem}"));
            }
            false
        }
    }
}

fn configure(root_id: u32, config_bytes: usize) -> Result<(), String> {
    let json = host::buffer(Buffer::PluginConfiguration, 0, config_bytes)
        .map_err(|error| format!("the proxy does not hand over the configuration: {error}"))?
        .unwrap_or_default();
    let config = Config::parse(&json).map_err(|problems| {
        problems
            .iter()
            .map(|problem| format!("configuration: {problem}"))
            .collect::<Vec<_>>()
            .join("\n")
    })?;
    host::set_tick_period(config.tick_ms)
        .map_err(|error| format!("no ticks, so no table would ever come: {error}"))?;
    let config = Rc::new(config);
    let plugin = match config.role {
        Role::Single | Role::Tap => Plugin::Decides(Rc::new(plugin(root_id, config))),
        Role::Pick => Plugin::Gates(new_pick(root_id, config)),
    };
    retire(root_id);
    register(root_id, Some(plugin));
    Ok(())
}

fn plugin(root_id: u32, config: Rc<Config>) -> DecidingPlugin {
    let mut entropy = Rng::new(entropy(root_id));
    let pools = config.pools.iter();
    let pools = pools.map(|pool| Rc::new(new_pool(&pool.name, &config, entropy.next_u64())));
    let pools = pools.collect();
    DecidingPlugin::new(config, pools)
}

/// Creates a pool of a plugin.
///
/// - `entropy`: what no other proxy and no other pool has.
fn new_pool(pool: &str, config: &Rc<Config>, entropy: u64) -> Pool {
    let keys = Keys::new(pool);
    let (number, error) = match wakeup::number(&keys, entropy) {
        Ok(number) => (number, None),
        Err(error) => (wakeup::number_by_chance(entropy), Some(error)),
    };
    let pool = Pool::new(Rc::clone(config), pool, keys, number, entropy);
    if let Some(error) = error {
        pool.count_error(error);
    }
    // After a change of settings there is a table already. Without it this VM would not place
    // requests until its first tick.
    let taken = pool.with(|state| exchange::take_shared_table(&pool, state));
    taken.map(|taken| pool.checked(taken));
    // This only gives the right VM a head start; the next tick asks again.
    pool.checked(holder::hold_lease(&pool, pool.now_ns(), When::Configure));
    pool
}

fn new_pick(root_id: u32, config: Rc<Config>) -> Rc<PickPlugin> {
    let queue = wakeup::own_queue(entropy(root_id));
    let (queue, error) = match queue {
        Ok(queue) => (queue, None),
        Err(error) => (None, Some(error)),
    };
    let gate = Rc::new(PickPlugin::new(config, root_id, queue));
    if let Some(error) = error {
        gate.checked::<()>(Err(error));
    }
    gate
}

/// Returns what no other proxy has: made of the time in nanoseconds, the context, the proxy's name.
fn entropy(context_id: u32) -> u64 {
    let now_ns = host::now_ns().unwrap_or(0);
    let node = host::property("node\0id")
        .ok()
        .flatten()
        .unwrap_or_default();
    let name = HashKey::default().seal(Digest::of(Purpose::Session, &node));
    Rng::new(now_ns ^ u64::from(context_id).rotate_left(32) ^ name).next_u64()
}

/// Counts a tick for requests that wait for their bodies.
pub(crate) fn count_tick(root_id: u32) {
    if let Some(Plugin::Decides(plugin)) = find(root_id) {
        plugin.count_tick();
    }
}

/// Lets the plugin do what is due on a tick.
pub(crate) fn on_tick(root_id: u32) {
    match find(root_id) {
        Some(Plugin::Decides(plugin)) => plugin.on_tick(),
        Some(Plugin::Gates(gate)) => gate.on_tick(),
        None => {}
    }
}

/// Another VM has put something into a queue that this VM registered.
pub(crate) fn on_queue_ready(root_id: u32, queue: u32) {
    match find(root_id) {
        Some(Plugin::Decides(plugin)) => plugin.on_queue_ready(queue),
        Some(Plugin::Gates(gate)) => gate.on_queue_ready(queue),
        None => {}
    }
}

/// A call-out that this VM made has ended.
pub(crate) fn on_call_response(root_id: u32, token: u32, body_bytes: usize) {
    if let Some(Plugin::Decides(plugin)) = find(root_id) {
        plugin.on_call_response(token, body_bytes);
    }
}

/// The plugin is removed. Requests that are still under way keep what they need.
pub(crate) fn on_done(root_id: u32) {
    retire(root_id);
    register(root_id, None);
}

/// Counts a hostcall that failed. Returns `None` for it.
pub(crate) fn checked<T>(root_id: u32, result: Result<T, HostError>) -> Option<T> {
    match find(root_id) {
        Some(Plugin::Decides(plugin)) => plugin.checked(result),
        Some(Plugin::Gates(gate)) => gate.checked(result),
        None => result.ok(),
    }
}

/// Ends the waiting of all requests of the plugin: it gets no more ticks or messages.
fn retire(root_id: u32) {
    match find(root_id) {
        Some(Plugin::Decides(plugin)) => plugin.retire(),
        Some(Plugin::Gates(gate)) => gate.on_done(),
        None => {}
    }
}
