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
    /// The configured plugins of this VM. Envoy puts plugins whose code and VM settings are equal into one VM.
    static PLUGINS: RefCell<BTreeMap<u32, Plugin>> = const { RefCell::new(BTreeMap::new()) };
}

/// The plugin of a root context; absent: not configured.
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

/// A configuration came. One with problems is refused: Envoy then rejects the listener at start, and keeps the old one on an update,
/// instead of serving with a filter that silently does nothing.
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
        Role::Pick => Plugin::Gates(gate(root_id, config)),
    };
    retire(root_id);
    register(root_id, Some(plugin));
    Ok(())
}

fn plugin(root_id: u32, config: Rc<Config>) -> DecidingPlugin {
    let mut entropy = Rng::new(entropy(root_id));
    let pools = config.pools.iter();
    let pools = pools.map(|pool| Rc::new(decider_of(&pool.name, &config, entropy.next_u64())));
    let pools = pools.collect();
    DecidingPlugin::new(config, pools)
}

/// `entropy`: what no other proxy, and no other pool, has.
fn decider_of(pool: &str, config: &Rc<Config>, entropy: u64) -> Pool {
    let keys = Keys::new(pool);
    let (number, error) = match wakeup::number(&keys, entropy) {
        Ok(number) => (number, None),
        Err(error) => (wakeup::number_by_chance(entropy), Some(error)),
    };
    let pool = Pool::new(Rc::clone(config), pool, keys, number, entropy);
    if let Some(error) = error {
        pool.count_error(error);
    }
    // With new settings there is a table already: without it this VM's requests would not be placed up to its first tick.
    let taken = pool.with(|state| exchange::take_shared_table(&pool, state));
    taken.map(|taken| pool.checked(taken));
    // Only a head start for the right VM; the next tick asks again.
    pool.checked(holder::hold_lease(&pool, pool.now_ns(), When::Configure));
    pool
}

fn gate(root_id: u32, config: Rc<Config>) -> Rc<PickPlugin> {
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

/// What no other proxy has: the time in nanoseconds, the context, the proxy's name.
fn entropy(context_id: u32) -> u64 {
    let now_ns = host::now_ns().unwrap_or(0);
    let node = host::property("node\0id")
        .ok()
        .flatten()
        .unwrap_or_default();
    let name = HashKey::default().seal(Digest::of(Purpose::Session, &node));
    Rng::new(now_ns ^ u64::from(context_id).rotate_left(32) ^ name).next_u64()
}

/// Time has passed for requests that wait for their bodies.
pub(crate) fn count_tick(root_id: u32) {
    if let Some(Plugin::Decides(plugin)) = find(root_id) {
        plugin.count_tick();
    }
}

/// Time to look what is new.
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

/// The end of a call-out that this VM made.
pub(crate) fn on_call_response(root_id: u32, token: u32, body_bytes: usize) {
    if let Some(Plugin::Decides(plugin)) = find(root_id) {
        plugin.on_call_response(token, body_bytes);
    }
}

/// The plugin is going; requests that are still under way keep what they need.
pub(crate) fn on_done(root_id: u32) {
    retire(root_id);
    register(root_id, None);
}

/// Counts a hostcall that failed.
pub(crate) fn checked<T>(root_id: u32, result: Result<T, HostError>) -> Option<T> {
    match find(root_id) {
        Some(Plugin::Decides(plugin)) => plugin.checked(result),
        Some(Plugin::Gates(gate)) => gate.checked(result),
        None => result.ok(),
    }
}

/// What is configured now will hear of neither ticks nor messages any more: nothing may wait for it.
fn retire(root_id: u32) {
    match find(root_id) {
        Some(Plugin::Decides(plugin)) => plugin.retire(),
        Some(Plugin::Gates(gate)) => gate.on_done(),
        None => {}
    }
}
