//! A worker: one thread that runs one VM at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use trimtab_wasmhost::{
    Direction, Effect, HeaderMap, HostError, Module, Options, Part, Shared, Vm,
};

use super::callout::Callouts;
use super::messages::{Event, Key, Mailbox, Out, Outs};
use super::world::Live;

/// Shortest time between two new VMs. With it a filter that always traps costs little.
const REBUILD_AFTER: Duration = Duration::from_secs(1);
/// Time to sleep if the filter wants no ticks.
const IDLE: Duration = Duration::from_secs(1);

/// The inputs for every VM of the proxy.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) module: Module,
    pub(super) shared: Shared,
    pub(super) config: Arc<[u8]>,
    pub(super) options: Options,
    pub(super) callouts: Arc<Callouts>,
    pub(super) runtime: Handle,
}

/// A VM with the requests that go through it.
#[derive(Debug)]
struct Running {
    number: u64,
    vm: Vm,
    requests: BTreeMap<Key, (u32, Outs)>,
    keys: BTreeMap<u32, Key>,
}

/// The state of the thread.
#[derive(Debug)]
pub(super) struct Worker {
    plan: Plan,
    mailbox: Mailbox,
    /// The VM for new requests.
    current: Running,
    /// VMs that have trapped and still have requests.
    retired: Vec<Running>,
    next_tick: Instant,
    rebuilt: Instant,
}

impl Worker {
    /// Makes the first VM.
    ///
    /// # Errors
    /// The filter cannot be linked, traps, or refuses its configuration. The filter's log says why.
    pub(super) fn new(plan: Plan, mailbox: Mailbox) -> Result<Self, HostError> {
        let current = Running::new(&plan, &mailbox, 0)?;
        let now = Instant::now();
        Ok(Self {
            plan,
            mailbox,
            current,
            retired: Vec::new(),
            next_tick: now,
            rebuilt: now,
        })
    }

    /// Handles events until a stop event, or until all senders are gone.
    pub(super) fn run(mut self, events: &Receiver<Event>) {
        loop {
            match events.recv_timeout(self.next_tick.saturating_duration_since(Instant::now())) {
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(event) => self.handle(event),
                Err(RecvTimeoutError::Timeout) => self.tick(),
            }
            self.current.vm.deliver_queues();
            self.current.flush();
            self.replace_failed();
        }
        self.current.vm.shutdown();
    }

    fn tick(&mut self) {
        let period = self.current.vm.tick_period();
        if period.is_some() {
            self.current.vm.tick();
        }
        self.next_tick = Instant::now() + period.unwrap_or(IDLE);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Open { key, outs } => self.current.open(key, outs),
            Event::CallDone { vm, token, answer } if vm == self.current.number => {
                self.current.vm.answer_call(token, answer);
            }
            Event::CallDone { .. } | Event::Stop => {}
            Event::Attribute { key, .. }
            | Event::Part { key, .. }
            | Event::LocalReply { key, .. }
            | Event::Close { key } => {
                let all = std::iter::once(&mut self.current).chain(&mut self.retired);
                if let Some(running) = all.into_iter().find(|own| own.requests.contains_key(&key)) {
                    running.handle(key, event);
                    running.flush();
                }
            }
        }
    }

    /// Replaces a VM that has trapped. The old VM keeps its requests, which pass through it
    /// unchanged. New requests go to a new VM.
    fn replace_failed(&mut self) {
        self.retired.retain(|running| !running.requests.is_empty());
        let Some(failure) = self.current.vm.failure().map(ToOwned::to_owned) else {
            return;
        };
        self.current.release();
        if self.rebuilt.elapsed() < REBUILD_AFTER {
            return;
        }
        self.rebuilt = Instant::now();
        tracing::error!(
            "{failure}; its requests go on without the filter, a new VM takes the next ones"
        );
        match Running::new(&self.plan, &self.mailbox, self.current.number + 1) {
            Ok(new) => self.retired.push(std::mem::replace(&mut self.current, new)),
            Err(error) => tracing::error!("cannot make a new VM: {error}"),
        }
    }
}

impl Running {
    fn new(plan: &Plan, mailbox: &Mailbox, number: u64) -> Result<Self, HostError> {
        let world = Live {
            vm: number,
            mailbox: mailbox.clone(),
            callouts: Arc::clone(&plan.callouts),
            runtime: plan.runtime.clone(),
        };
        let mut vm = Vm::new(&plan.module, &plan.shared, world, plan.options)?;
        if !vm.configure(&plan.config)? {
            return Err(HostError::Refused(
                "see the lines of target \"filter\" above".into(),
            ));
        }
        Ok(Self {
            number,
            vm,
            requests: BTreeMap::new(),
            keys: BTreeMap::new(),
        })
    }

    fn open(&mut self, key: Key, outs: Outs) {
        let stream = self.vm.open();
        self.requests.insert(key, (stream, outs));
        self.keys.insert(stream, key);
    }

    fn handle(&mut self, key: Key, event: Event) {
        let Some(stream) = self.requests.get(&key).map(|(stream, _)| *stream) else {
            return;
        };
        match event {
            Event::Attribute { path, value, .. } => self.vm.set_attribute(stream, path, value),
            Event::Part {
                direction, part, ..
            } => {
                self.part(stream, direction, part);
                self.flush();
                self.tell(key, direction, Out::Done);
            }
            Event::LocalReply { status, body, .. } => {
                self.vm
                    .local_reply(stream, u32::from(status), HeaderMap::new(), body);
            }
            Event::Close { .. } => {
                self.vm.close(stream);
                self.flush();
                self.requests.remove(&key);
                self.keys.remove(&stream);
            }
            Event::Open { .. } | Event::CallDone { .. } | Event::Stop => {}
        }
    }

    fn part(&mut self, stream: u32, direction: Direction, part: Part) {
        match part {
            Part::Headers(headers, end) => self.vm.headers(stream, direction, headers, end),
            Part::Body(bytes, end) => self.vm.body(stream, direction, bytes, end),
            Part::Trailers(trailers) => self.vm.trailers(stream, direction, trailers),
        };
    }

    /// Releases what a trapped VM still holds, unchanged.
    fn release(&mut self) {
        self.vm.release_all();
        self.flush();
    }

    fn flush(&mut self) {
        for (stream, effect) in self.vm.take_effects() {
            let Some(key) = self.keys.get(&stream).copied() else {
                continue;
            };
            match effect {
                Effect::Forward(direction, part) => self.tell(key, direction, Out::Part(part)),
                Effect::LocalReply => self.tell(key, Direction::Response, Out::LocalReply),
                Effect::Reset => self.tell(key, Direction::Response, Out::Reset),
            }
        }
    }

    /// Sends an output to a request. A request that is gone does not receive it; its `Close` is
    /// under way.
    fn tell(&self, key: Key, direction: Direction, out: Out) {
        if let Some((_, outs)) = self.requests.get(&key) {
            let _ = outs.to(direction).send(out);
        }
    }
}
