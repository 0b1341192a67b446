//! A whole proxy for tests: canary, main thread and workers over one [`Shared`], on one clock.

use std::time::Duration;

use crate::error::HostError;
use crate::module::Module;
use crate::script::Script;
use crate::shared::Shared;
use crate::vm::{Options, Vm};
use crate::world::{CallAnswer, HttpCall};

/// The cluster that every script knows from the start.
const AGGREGATOR: &str = "trimtab_aggregator";
/// How long [`ScriptedProxy::deliver`] waits for a filter to ask for a table, in virtual time.
const PATIENCE: Duration = Duration::from_secs(120);

/// A VM with its script.
#[derive(Debug)]
pub struct Worker {
    /// The VM.
    pub vm: Vm,
    /// Its world.
    pub script: Script,
}

/// VMs as Envoy makes them. The canary is configured and dropped. Then the main thread's VM is
/// configured, which gets ticks and call-outs but no requests. Then one VM for each worker follows.
#[derive(Debug)]
pub struct ScriptedProxy {
    /// The state that the VMs share.
    pub shared: Shared,
    /// The main thread's VM.
    pub main: Worker,
    /// The workers' VMs, at least one.
    pub workers: Vec<Worker>,
}

impl ScriptedProxy {
    /// Starts a proxy with this plugin configuration. Each script knows the cluster
    /// `trimtab_aggregator`.
    ///
    /// # Errors
    /// Returns an error if the module cannot be linked, a VM traps, or the guest refuses the
    /// configuration. A refusal holds the guest's log.
    pub fn start(
        module: &Module,
        config: &str,
        workers: usize,
        options: Options,
    ) -> Result<Self, HostError> {
        Self::start_in(
            Shared::new(),
            &Script::new(),
            module,
            config,
            workers,
            options,
        )
    }

    /// Starts another plugin in the same proxy. It has VMs of its own, and shares data, queues and
    /// clock with this one.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_beside(
        &self,
        module: &Module,
        config: &str,
        options: Options,
    ) -> Result<Self, HostError> {
        let (shared, clock) = (self.shared.clone(), &self.main.script);
        Self::start_in(shared, clock, module, config, self.workers.len(), options)
    }

    fn start_in(
        shared: Shared,
        clock: &Script,
        module: &Module,
        config: &str,
        workers: usize,
        options: Options,
    ) -> Result<Self, HostError> {
        let make = || -> Result<Worker, HostError> {
            // Each VM is made a little later than the previous one, as in a real proxy. A filter
            // may use the time of its configuration to tell itself from the others.
            clock.advance(Duration::from_micros(1_100));
            let script = clock.sibling();
            script.add_cluster(AGGREGATOR);
            let mut vm = Vm::new(module, &shared, script.clone(), options)?;
            if vm.configure(config.as_bytes())? {
                return Ok(Worker { vm, script });
            }
            Err(HostError::Refused(
                script.log_text(crate::abi::LogLevel::Warn),
            ))
        };
        drop(make()?);
        let main = make()?;
        let workers = (0..workers.max(1))
            .map(|_| make())
            .collect::<Result<_, _>>()?;
        Ok(Self {
            shared,
            main,
            workers,
        })
    }

    /// Returns the first worker's VM.
    ///
    /// # Panics
    /// If the test has emptied [`Self::workers`].
    pub fn vm(&mut self) -> &mut Vm {
        &mut self.worker(0).vm
    }

    /// Returns one of the workers.
    ///
    /// # Panics
    /// If there is no worker with this index.
    #[expect(
        clippy::expect_used,
        reason = "a test's own mistake, to be told at once"
    )]
    pub fn worker(&mut self, index: usize) -> &mut Worker {
        self.workers
            .get_mut(index)
            .expect("the proxy has that many workers")
    }

    /// Returns all VMs: the main thread's first, then the workers'.
    pub fn all(&mut self) -> impl Iterator<Item = &mut Worker> {
        std::iter::once(&mut self.main).chain(&mut self.workers)
    }

    /// Lets time pass. Every VM ticks at the shortest period of all, and gets the callbacks of its
    /// queues.
    pub fn run_for(&mut self, span: Duration) {
        let mut left = span;
        while !left.is_zero() {
            let step = self.step().min(left);
            self.main.script.advance(step);
            left -= step;
            for worker in self.all() {
                if worker.vm.tick_period().is_some() {
                    worker.vm.tick();
                }
                worker.vm.deliver_queues();
            }
        }
    }

    /// Returns the shortest tick period of all VMs, or a second if none ticks.
    fn step(&mut self) -> Duration {
        self.all()
            .filter_map(|worker| worker.vm.tick_period())
            .min()
            .unwrap_or(Duration::from_secs(1))
    }

    /// Returns the call-outs since the last call of this method, each with its VM (0 = main thread,
    /// 1.. = workers).
    pub fn take_calls(&mut self) -> Vec<(usize, HttpCall)> {
        let calls = self
            .all()
            .enumerate()
            .map(|(number, worker)| (number, worker.script.take_calls()));
        let all =
            calls.flat_map(|(number, calls)| calls.into_iter().map(move |call| (number, call)));
        all.collect()
    }

    /// Answers a call-out of VM `number`. `None` lets the call-out fail. Returns `false` if it is
    /// not open.
    pub fn answer(&mut self, number: usize, token: u32, answer: Option<CallAnswer>) -> bool {
        self.all()
            .nth(number)
            .is_some_and(|worker| worker.vm.answer_call(token, answer))
    }

    /// Runs until some VM asks for a table (a path that ends in `/sync`), answers with `table`, and
    /// lets the other VMs adopt it. Returns `false` if no VM asks within two minutes of virtual
    /// time.
    pub fn deliver(&mut self, table: &[u8]) -> bool {
        let mut waited = Duration::ZERO;
        while waited < PATIENCE {
            let newest = self.take_calls().into_iter().rev();
            let asks = |call: &HttpCall| {
                let path = call.headers.text(":path");
                path.is_some_and(|path| path.ends_with("/sync"))
            };
            for (number, call) in newest.filter(|(_, call)| asks(call)) {
                if self.answer(number, call.token, Some(CallAnswer::new(200, table))) {
                    self.run_for(Duration::from_secs(1));
                    return true;
                }
            }
            let step = self.step();
            self.run_for(step);
            waited += step;
        }
        false
    }

    /// Returns the failure of each failed VM. Empty while all run.
    pub fn failures(&mut self) -> Vec<String> {
        self.all()
            .filter_map(|worker| worker.vm.failure().map(ToOwned::to_owned))
            .collect()
    }
}

/// Makes a proxy with one worker that is configured and has adopted `table`. Most tests begin with
/// this.
///
/// # Errors
/// As [`ScriptedProxy::start`], or [`HostError::Silent`] if the filter never asks for a table.
pub fn ready_filter(
    module: &Module,
    config: &str,
    table: &[u8],
) -> Result<ScriptedProxy, HostError> {
    let mut proxy = ScriptedProxy::start(module, config, 1, Options::default())?;
    if proxy.deliver(table) {
        Ok(proxy)
    } else {
        Err(HostError::Silent(
            proxy.main.script.log_text(crate::abi::LogLevel::Debug),
        ))
    }
}
