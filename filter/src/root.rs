//! The plugin in one VM: configuration, ticks, answers of the aggregator.
#![cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, reason = "only a VM has callbacks")
)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use trimtab_pick::Rng;

use crate::config::Config;
use crate::exchange;
use crate::facts::{Digest, HashKey, Purpose};
use crate::host::{self, Buffer, HostError, Level};
use crate::lease::When;
use crate::poll;
use crate::shared::{Keys, Stamp};
use crate::wake;
use crate::watch::Watch;
use crate::worker::Worker;

thread_local! {
    /// The configured plugins of this VM. Envoy puts plugins whose code and VM settings are equal into one VM.
    static ROOTS: RefCell<BTreeMap<u32, Rc<Root>>> = const { RefCell::new(BTreeMap::new()) };
}

/// The plugin of a root context; absent: not configured.
pub(crate) fn find(root_id: u32) -> Option<Rc<Root>> {
    ROOTS.with(|roots| roots.try_borrow().ok()?.get(&root_id).cloned())
}

fn register(root_id: u32, root: Option<Rc<Root>>) {
    ROOTS.with(|roots| {
        if let Ok(mut roots) = roots.try_borrow_mut() {
            match root {
                Some(root) => roots.insert(root_id, root),
                None => roots.remove(&root_id),
            };
        }
    });
}

/// One configured plugin in one VM.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) config: Config,
    pub(crate) keys: Keys,
    /// Tells this worker from the others of the proxy.
    pub(crate) worker_number: u64,
    /// The proxy's number, if this worker is its first.
    pub(crate) proxy_number: u64,
    /// The shared table last looked at, whether it was taken or not.
    pub(crate) seen_stamp: Cell<Option<Stamp>>,
    /// Whether to ask what became of requests.
    pub(crate) watch: Watch,
    worker: RefCell<Worker>,
    last_now_ns: Cell<u64>,
    warned: Cell<bool>,
    hinted: Cell<bool>,
}

impl Root {
    /// `worker_number`: one that no other worker has. `entropy`: what no other proxy has.
    pub(crate) fn new(config: Config, keys: Keys, worker_number: u64, entropy: u64) -> Self {
        let mut rng = Rng::new(entropy ^ worker_number);
        Self {
            keys,
            worker_number,
            proxy_number: rng.next_u64(),
            seen_stamp: Cell::new(None),
            worker: RefCell::new(Worker::new(
                &config,
                config.seed.unwrap_or_else(|| rng.next_u64()),
            )),
            watch: Watch::default(),
            last_now_ns: Cell::new(0),
            warned: Cell::new(false),
            hinted: Cell::new(false),
            config,
        }
    }

    /// Runs something on the worker. `None`: the host called us while we were calling it, which nothing here needs to survive but a panic
    /// would not.
    pub(crate) fn with<R>(&self, run: impl FnOnce(&mut Worker) -> R) -> Option<R> {
        self.worker
            .try_borrow_mut()
            .ok()
            .map(|mut worker| run(&mut worker))
    }

    /// The time. When the host does not tell, the last that it told.
    pub(crate) fn now_ns(&self) -> u64 {
        match host::now_ns() {
            Ok(now_ns) => self.last_now_ns.set(now_ns),
            Err(error) => self.count_error(error),
        }
        self.last_now_ns.get()
    }

    /// The time that was last asked for, at most a tick ago. Good enough for what follows a decision, and saves a hostcall each.
    pub(crate) fn recent_ns(&self) -> u64 {
        self.last_now_ns.get()
    }

    pub(crate) fn count_error(&self, error: HostError) {
        self.with(|worker| worker.metrics.count_error(error));
    }

    /// Counts a hostcall that failed and goes on.
    pub(crate) fn checked<T>(&self, result: Result<T, HostError>) -> Option<T> {
        result.map_err(|error| self.count_error(error)).ok()
    }

    /// Says what is wrong with the sync once, until it works again.
    pub(crate) fn warn_once(&self, level: Level, message: &str) {
        if !self.warned.replace(true) {
            self.log(level, message);
        }
    }

    /// A table came after all.
    pub(crate) fn on_good_sync(&self) {
        if self.warned.replace(false) {
            self.log(Level::Info, "sync works again");
        }
    }

    /// Says once what is most likely wrong when a held request never got a body.
    pub(crate) fn hint_stop_iteration(&self) {
        if !self.hinted.replace(true) {
            self.log(
                Level::Warn,
                "a request ended while its headers were held back and no byte of its body had come; if this is every request, set allow_on_headers_stop_iteration: true in the plugin's configuration",
            );
        }
    }

    fn log(&self, level: Level, message: &str) {
        host::log(level, &format!("trimtab {}: {message}", self.config.pool));
    }

    fn on_tick(&self) {
        let now_ns = self.now_ns();
        self.with(|worker| {
            let ticked = exchange::tick(self, worker, now_ns);
            // After a failed step too: it is in the counters that the operator sees it.
            for error in [ticked, worker.metrics.flush()]
                .into_iter()
                .filter_map(Result::err)
            {
                worker.metrics.count_error(error);
            }
        });
    }
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
    let tick_ms = config.tick_ms;
    let (keys, entropy) = (Keys::new(&config.pool), entropy(root_id));
    let (number, error) = match wake::number(&keys, entropy) {
        Ok(number) => (number, None),
        Err(error) => (wake::number_by_chance(entropy), Some(error)),
    };
    let root = Rc::new(Root::new(config, keys, number, entropy));
    if let Some(error) = error {
        root.count_error(error);
    }
    host::set_tick_period(tick_ms)
        .map_err(|error| format!("no ticks, so no table would ever come: {error}"))?;
    // Only a head start for the right VM; the next tick asks again.
    root.checked(exchange::hold_lease(&root, root.now_ns(), When::Configure));
    register(root_id, Some(root));
    Ok(())
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

/// Time to look for news.
pub(crate) fn on_tick(root_id: u32) {
    if let Some(root) = find(root_id) {
        root.on_tick();
    }
}

/// Another worker has put something into a queue that this VM registered.
pub(crate) fn on_queue_ready(root_id: u32, queue: u32) {
    let Some(root) = find(root_id) else { return };
    root.with(|worker| {
        if let Err(error) = wake::answer(&root, worker, queue) {
            worker.metrics.count_error(error);
        }
    });
}

/// The end of a call-out that this VM made.
pub(crate) fn on_call_response(root_id: u32, token: u32, body_bytes: usize) {
    let Some(root) = find(root_id) else { return };
    let now_ns = root.now_ns();
    root.with(|worker| {
        let answered = match worker.news.is_over(token) {
            true => poll::news_answered(&root, worker, now_ns),
            false => poll::answered(&root, worker, token, body_bytes, now_ns),
        };
        if let Err(error) = answered {
            worker.metrics.count_error(error);
        }
    });
}

/// The plugin is going; requests that are still under way keep what they need.
pub(crate) fn on_done(root_id: u32) {
    register(root_id, None);
}
