//! One VM: a guest with its memory and its contexts.

mod callbacks;
mod strays;
mod streams;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use wasmtime::{Linker, Store, StoreLimitsBuilder, TypedFunc, WasmParams, WasmResults};

use crate::abi::ROOT;
use crate::error::HostError;
use crate::host::Host;
use crate::hostcalls;
use crate::module::Module;
use crate::shared::{Shared, VmNumber};
use crate::stream::Effect;
use crate::world::{CallAnswer, World};

use callbacks::Callbacks;
pub use strays::Stray;

/// The next VM's number. Numbers are unique in this process, so that queues of one [`Shared`] find
/// their owner.
static NEXT_VM: AtomicU32 = AtomicU32::new(1);

/// What the proxy, not the filter, decides about streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Envoy's `allow_on_headers_stop_iteration`: after `Pause` at headers the filter still gets
    /// the body.
    pub allow_on_headers_stop_iteration: bool,
    /// Most bytes of one body that the filter may hold. Beyond this the proxy answers 413, or 500
    /// in a response.
    pub buffer_limit_bytes: usize,
}

impl Default for Options {
    /// Returns the option on, and the 32 KiB that gateways have.
    fn default() -> Self {
        Self {
            allow_on_headers_stop_iteration: true,
            buffer_limit_bytes: 32 << 10,
        }
    }
}

/// A running filter. Lives on one thread.
///
/// After a trap the VM has *failed*: the guest is never entered again. As with Envoy's `FAIL_OPEN`,
/// the stream whose callback trapped is answered with 503, or cut if its answer has begun. Every
/// later stream callback answers `Continue`. The owner sees the failure by [`Self::failure`] and
/// makes a new VM.
#[derive(Debug)]
pub struct Vm {
    store: Store<Host>,
    callbacks: Callbacks,
    options: Options,
    failure: Option<String>,
    next_context: u32,
    effects: VecDeque<(u32, Effect)>,
}

impl Vm {
    /// Links and initialises the guest, without configuring it.
    ///
    /// # Errors
    /// Returns [`HostError::Link`] if the guest imports what this host does not have, and
    /// [`HostError::Trap`] if its initialiser traps.
    pub fn new(
        module: &Module,
        shared: &Shared,
        world: impl World + 'static,
        options: Options,
    ) -> Result<Self, HostError> {
        let engine = module.module.engine();
        let limits = StoreLimitsBuilder::new()
            .memory_size(module.limits.memory_bytes)
            .build();
        let host = Host {
            world: Box::new(world),
            shared: shared.clone(),
            vm: VmNumber(NEXT_VM.fetch_add(1, Ordering::Relaxed)),
            limits,
            memory: None,
            malloc: None,
            vm_configuration: Vec::new(),
            plugin_configuration: Vec::new(),
            tick_period_ms: 0,
            current: ROOT,
            effective: None,
            streams: std::collections::BTreeMap::new(),
            calls: std::collections::BTreeMap::new(),
            last_token: 0,
            answer: None,
            call_status: (0, Vec::new()),
            done_pending: false,
            deferred: Vec::new(),
        };
        let mut store = Store::new(engine, host);
        store.limiter(|host| &mut host.limits);
        let mut linker = Linker::new(engine);
        hostcalls::register(&mut linker).map_err(HostError::link)?;
        if let Some(fuel) = module.limits.fuel_per_callback {
            store.set_fuel(fuel).map_err(HostError::link)?;
        }
        let instance = linker
            .instantiate(&mut store, &module.module)
            .map_err(HostError::link)?;
        let callbacks = Callbacks::new(&instance, &mut store, module.limits.fuel_per_callback)?;
        store.data_mut().memory = instance.get_memory(&mut store, "memory");
        store.data_mut().malloc = callbacks.malloc.clone();
        let mut vm = Self {
            store,
            callbacks,
            options,
            failure: None,
            next_context: ROOT + 1,
            effects: VecDeque::new(),
        };
        vm.enter(ROOT, |callbacks| callbacks.initialize.clone(), ());
        vm.failure
            .take()
            .map_or(Ok(vm), |failure| Err(HostError::Trap(failure)))
    }

    /// Creates the root context, starts the VM and configures the plugin. Returns `false` if the
    /// guest refuses.
    ///
    /// # Errors
    /// Returns [`HostError::Trap`] if one of the callbacks traps.
    pub fn configure(&mut self, plugin_configuration: &[u8]) -> Result<bool, HostError> {
        self.store.data_mut().plugin_configuration = plugin_configuration.to_vec();
        let size = u32::try_from(plugin_configuration.len()).unwrap_or(u32::MAX);
        self.enter(
            ROOT,
            |callbacks| callbacks.context_create.clone(),
            (ROOT, 0),
        );
        let started = self.enter(ROOT, |callbacks| callbacks.vm_start.clone(), (ROOT, 0));
        let configured = if started == Some(0) {
            Some(0)
        } else {
            self.enter(ROOT, |callbacks| callbacks.configure.clone(), (ROOT, size))
        };
        self.settle();
        match &self.failure {
            Some(failure) => Err(HostError::Trap(failure.clone())),
            None => Ok(configured != Some(0)),
        }
    }

    /// Returns how often [`Self::tick`] is due. Returns `None` if the guest wants no ticks.
    #[must_use]
    pub fn tick_period(&self) -> Option<Duration> {
        let period_ms = self.store.data().tick_period_ms;
        (period_ms > 0).then(|| Duration::from_millis(u64::from(period_ms)))
    }

    /// Runs `proxy_on_tick`.
    pub fn tick(&mut self) {
        self.enter(ROOT, |callbacks| callbacks.tick.clone(), ROOT);
        self.settle();
    }

    /// Runs `proxy_on_queue_ready` for each new message in this VM's queues. Returns the number of
    /// calls.
    pub fn deliver_queues(&mut self) -> usize {
        let mut told = 0;
        let vm = self.store.data().vm;
        while let Some((context, queue)) = next_ready(&self.store, vm) {
            self.tell_queue(context, queue);
            told += 1;
        }
        told
    }

    /// Runs `proxy_on_queue_ready` for any queue, also for an empty one or one of another VM. The
    /// guest must survive that.
    pub fn queue_ready(&mut self, queue: u32) {
        self.tell_queue(ROOT, queue);
    }

    fn tell_queue(&mut self, context: u32, queue: u32) {
        self.enter(
            context,
            |callbacks| callbacks.queue_ready.clone(),
            (context, queue),
        );
        self.settle();
    }

    /// Delivers the answer of the call-out `token` to the guest. `None` means reset or timed out.
    /// Returns `false`, without entering the guest, if the token is not open: it was answered
    /// before, or its stream is gone.
    pub fn answer_call(&mut self, token: u32, answer: Option<CallAnswer>) -> bool {
        let Some(context) = self.store.data_mut().calls.remove(&token) else {
            return false;
        };
        self.call_response(context, token, answer);
        true
    }

    /// Does the same as [`Self::answer_call`] for any token, also for one that the guest has never
    /// seen. Envoy has sent such tokens. The guest must survive that.
    pub fn answer_unknown_call(&mut self, token: u32, answer: Option<CallAnswer>) {
        self.store.data_mut().calls.remove(&token);
        self.call_response(ROOT, token, answer);
    }

    fn call_response(&mut self, context: u32, token: u32, answer: Option<CallAnswer>) {
        const UNAVAILABLE: u32 = 14;
        let sizes = answer.as_ref().map_or((0, 0, 0), |answer| {
            (
                size(answer.headers.len()),
                size(answer.body.len()),
                size(answer.trailers.len()),
            )
        });
        let host = self.store.data_mut();
        host.call_status = if answer.is_some() {
            (0, Vec::new())
        } else {
            (UNAVAILABLE, b"reset".to_vec())
        };
        host.answer = answer;
        let arguments = (context, token, sizes.0, sizes.1, sizes.2);
        self.enter(
            context,
            |callbacks| callbacks.call_response.clone(),
            arguments,
        );
        self.store.data_mut().answer = None;
        self.settle();
    }

    /// Ends the plugin as an orderly shutdown of the proxy does: done, log and delete of the root
    /// context.
    pub fn shutdown(&mut self) {
        let done = self.enter(ROOT, |callbacks| callbacks.done.clone(), ROOT);
        self.store.data_mut().done_pending = done == Some(0);
        self.enter(ROOT, |callbacks| callbacks.log.clone(), ROOT);
        self.enter(ROOT, |callbacks| callbacks.delete.clone(), ROOT);
        self.settle();
    }

    /// Returns why the VM has failed, or `None` while it runs.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Returns the size of the guest's memory. It never shrinks.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.store
            .data()
            .memory
            .map_or(0, |memory| memory.data_size(&self.store))
    }

    /// Returns the call-outs without an answer, oldest first.
    #[must_use]
    pub fn open_calls(&self) -> Vec<u32> {
        self.store.data().calls.keys().copied().collect()
    }

    /// Returns what has left the filter since the last call, in order, with the streams' numbers.
    pub fn take_effects(&mut self) -> Vec<(u32, Effect)> {
        self.effects.drain(..).collect()
    }

    /// Does the same as [`Self::take_effects`] for one stream. Effects of other streams stay.
    pub fn take_effects_of(&mut self, stream: u32) -> Vec<Effect> {
        let (own, others) = self
            .effects
            .drain(..)
            .partition(|(number, _)| *number == stream);
        self.effects = others;
        let own: VecDeque<(u32, Effect)> = own;
        own.into_iter().map(|(_, effect)| effect).collect()
    }

    /// Calls into the guest. Returns `None` if the guest does not export the callback, or the VM
    /// has failed, before or in this call.
    fn enter<P: WasmParams, R: WasmResults>(
        &mut self,
        context: u32,
        callback: impl FnOnce(&Callbacks) -> Option<TypedFunc<P, R>>,
        arguments: P,
    ) -> Option<R> {
        if self.failure.is_some() {
            return None;
        }
        let callback = callback(&self.callbacks)?;
        let host = self.store.data_mut();
        host.current = context;
        host.effective = None;
        let fuelled = match self.callbacks.fuel {
            Some(fuel) => self.store.set_fuel(fuel),
            None => Ok(()),
        };
        match fuelled.and_then(|()| callback.call(&mut self.store, arguments)) {
            Ok(result) => Some(result),
            Err(trap) => {
                self.failure = Some(format!("{trap:#}"));
                None
            }
        }
    }
}

/// Returns the next queue that has a new message. This is a function of its own, so that the lock
/// is not held while the guest runs.
fn next_ready(store: &Store<Host>, vm: VmNumber) -> Option<(u32, u32)> {
    store.data().shared.queues().next_ready(vm)
}

fn size(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
