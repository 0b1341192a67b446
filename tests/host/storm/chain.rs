//! Runs one or two plugins in one proxy, with streams that pass through them as through a proxy's
//! chain.

use std::collections::BTreeMap;
use std::time::Duration;

use trimtab_wasmhost::{
    Direction, Effect, HeaderMap, HostError, Module, Options, Part, ScriptedProxy, Worker,
};

/// Number of workers of the proxy.
pub(crate) const WORKERS: usize = 2;

/// The plugins, in the order in which a request passes them.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) plugins: Vec<ScriptedProxy>,
}

/// One exchange: its number in each plugin, its input and its output.
pub(crate) struct Stream {
    pub(crate) worker: usize,
    pub(crate) numbers: Vec<u32>,
    /// Filter state, shared by the plugins.
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The whole body of the client.
    pub(crate) body: Vec<u8>,
    pub(crate) sent: usize,
    pub(crate) begun: bool,
    pub(crate) ended: bool,
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) arrived: Vec<u8>,
    pub(crate) arrived_whole: bool,
    pub(crate) answered: bool,
    pub(crate) answer_ended: bool,
    /// Whether the proxy answered by itself or reset the stream.
    pub(crate) cut: bool,
    /// Whether the stream got callbacks that no proxy sends, or the proxy was told to answer.
    pub(crate) excused: bool,
}

impl Chain {
    pub(crate) fn start(
        module: &Module,
        configs: &[String],
        options: Options,
    ) -> Result<Self, HostError> {
        let mut plugins: Vec<ScriptedProxy> = Vec::new();
        for config in configs {
            plugins.push(match plugins.first() {
                None => ScriptedProxy::start(module, config, WORKERS, options)?,
                Some(first) => first.start_beside(module, config, options)?,
            });
        }
        Ok(Self { plugins })
    }

    pub(crate) fn worker(&mut self, plugin: usize, worker: usize) -> &mut Worker {
        self.plugins[plugin].worker(worker)
    }

    /// Returns every VM, including those of the main threads.
    pub(crate) fn all(&mut self) -> impl Iterator<Item = &mut Worker> {
        self.plugins.iter_mut().flat_map(ScriptedProxy::all)
    }

    pub(crate) fn open(&mut self, worker: usize, body: Vec<u8>) -> Stream {
        let numbers = self.plugins.iter_mut();
        Stream {
            worker,
            numbers: numbers.map(|own| own.worker(worker).vm.open()).collect(),
            state: BTreeMap::new(),
            body,
            sent: 0,
            begun: false,
            ended: false,
            headers: None,
            arrived: Vec::new(),
            arrived_whole: false,
            answered: false,
            answer_ended: false,
            cut: false,
            excused: false,
        }
    }

    /// Passes a part of the request from the client.
    pub(crate) fn request(&mut self, stream: &mut Stream, part: Part) {
        self.feed(stream, 0, Direction::Request, part);
        self.settle(stream);
    }

    /// Passes a part of the answer from upstream.
    pub(crate) fn answer(&mut self, stream: &mut Stream, part: Part) {
        self.feed(stream, self.plugins.len() - 1, Direction::Response, part);
        self.settle(stream);
    }

    fn feed(&mut self, stream: &mut Stream, plugin: usize, direction: Direction, part: Part) {
        let number = stream.numbers[plugin];
        let vm = &mut self.worker(plugin, stream.worker).vm;
        vm.set_filter_state(number, std::mem::take(&mut stream.state));
        match part {
            Part::Headers(headers, end) => {
                vm.headers(number, direction, headers, end);
            }
            Part::Body(chunk, end) => {
                vm.body(number, direction, chunk, end);
            }
            Part::Trailers(trailers) => {
                vm.trailers(number, direction, trailers);
            }
        }
        stream.state = vm.filter_state(number);
    }

    /// Passes on the output of each plugin, until nothing moves.
    pub(crate) fn settle(&mut self, stream: &mut Stream) {
        let plugins = self.plugins.len();
        let mut moved = true;
        while std::mem::take(&mut moved) {
            for plugin in 0..plugins {
                let vm = &mut self.worker(plugin, stream.worker).vm;
                for effect in vm.take_effects_of(stream.numbers[plugin]) {
                    moved = true;
                    match effect {
                        Effect::Forward(Direction::Request, part) if plugin + 1 < plugins => {
                            self.feed(stream, plugin + 1, Direction::Request, part);
                        }
                        Effect::Forward(Direction::Response, part) if plugin > 0 => {
                            self.feed(stream, plugin - 1, Direction::Response, part);
                        }
                        Effect::Forward(Direction::Request, part) => stream.arrive(part),
                        Effect::Forward(Direction::Response, _) => {}
                        Effect::LocalReply | Effect::Reset => stream.cut = true,
                    }
                }
            }
        }
    }

    /// Ends the stream in every plugin.
    pub(crate) fn close(&mut self, stream: &Stream, logged: bool) {
        for (plugin, number) in stream.numbers.iter().enumerate() {
            let vm = &mut self.worker(plugin, stream.worker).vm;
            if logged {
                vm.close(*number);
            } else {
                vm.close_without_log(*number);
            }
        }
    }

    /// Lets time pass: first ticks, then messages.
    pub(crate) fn step(&mut self, by: Duration, streams: &mut [Stream]) {
        self.plugins[0].main.script.advance(by);
        for worker in self.all().filter(|own| own.vm.tick_period().is_some()) {
            worker.vm.tick();
        }
        self.deliver_queues(streams);
    }

    pub(crate) fn deliver_queues(&mut self, streams: &mut [Stream]) {
        for worker in self.all() {
            worker.vm.deliver_queues();
        }
        for stream in streams {
            self.settle(stream);
        }
    }

    /// Returns why a VM has failed, with its log; absent if all VMs run.
    pub(crate) fn failure(&mut self) -> Option<String> {
        self.all().find_map(|own| {
            let failure = own.vm.failure()?;
            let log = own.script.log_text(trimtab_wasmhost::LogLevel::Warn);
            Some(format!("{failure}\n{log}"))
        })
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("worker", &self.worker)
            .field("numbers", &self.numbers)
            .field("body", &self.body.len())
            .field("sent", &self.sent)
            .field("arrived", &self.arrived.len())
            .field("ended", &(self.ended, self.arrived_whole))
            .field("headers", &self.headers.is_some())
            .field("cut", &self.cut)
            .finish_non_exhaustive()
    }
}

impl Stream {
    fn arrive(&mut self, part: Part) {
        match part {
            Part::Headers(headers, end) => {
                self.headers = Some(headers);
                self.arrived_whole |= end;
            }
            Part::Body(chunk, end) => {
                self.arrived.extend(chunk);
                self.arrived_whole |= end;
            }
            Part::Trailers(_) => self.arrived_whole = true,
        }
    }
}
