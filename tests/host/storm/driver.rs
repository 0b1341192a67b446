//! Drives a storm: a string of bytes decides which callbacks come, in which order and with which
//! statuses.
//!
//! [`run`] takes a form of the filter and bytes, and returns the first broken promise. The promises
//! are:
//!
//! - No VM traps.
//! - After the faults have ended and time has passed, every request that could end has gone on,
//!   complete and unchanged.
//! - With all streams closed nothing is in flight.
//! - No VM is larger than [`MAX_MEMORY_BYTES`].

use std::collections::BTreeMap;
use std::time::Duration;

use trimtab_loadtable::{Endpoint, Report};
use trimtab_wasmhost::{CallAnswer, HeaderMap, HttpCall, Module, Options, Part, Stray, Vm};

use super::bytes::Bytes;
use super::chain::{Chain, Stream, WORKERS};
use super::faults::Fault;
use super::forms::Form;
use super::requests;

/// Limit of the memory of each VM.
pub(crate) const MAX_MEMORY_BYTES: usize = 8 << 20;
/// Most streams at the same time.
const MAX_STREAMS: usize = 24;
/// First of the context numbers that no proxy has made.
const NOBODY: u32 = 1_000_000;
const TICK: Duration = Duration::from_millis(100);
/// The result of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    pub(crate) requests: usize,
    pub(crate) placed: usize,
    pub(crate) memory_bytes: usize,
}

/// Runs the storm that the bytes describe.
///
/// # Errors
/// A promise was broken.
pub(crate) fn run(module: &Module, form: &Form, bytes: &[u8]) -> Result<Outcome, String> {
    let options = Options {
        allow_on_headers_stop_iteration: form.stop_iteration,
        ..Options::default()
    };
    let chain = Chain::start(module, &form.plugins, options).map_err(|error| error.to_string())?;
    let mut storm = Storm {
        chain,
        streams: Vec::new(),
        calls: Vec::new(),
        strays: Vec::new(),
        reports: BTreeMap::new(),
        sequence: 1,
        outcome: Outcome::default(),
        events: Vec::new(),
    };
    for _ in 0..3 {
        storm.pass(TICK);
        storm.answer_all(true);
    }
    let mut bytes = Bytes(bytes);
    while !bytes.is_empty() {
        storm.happen(form, &mut bytes);
        if let Some(failure) = storm.chain.failure() {
            let events = storm.events.join("\n");
            return Err(format!("a VM trapped: {failure}\n{events}"));
        }
    }
    let calm = storm.calm();
    calm.map_err(|broken| format!("{broken}\n{}", storm.events.join("\n")))
}

struct Storm {
    chain: Chain,
    streams: Vec<Stream>,
    /// Call-outs without an answer: plugin, VM, and the call.
    calls: Vec<(usize, usize, HttpCall)>,
    /// Contexts that only the guests know: plugin, worker, and number.
    strays: Vec<(usize, usize, u32)>,
    /// The newest report of each pool.
    reports: BTreeMap<String, Report>,
    sequence: u64,
    outcome: Outcome,
    /// The events so far, for people.
    events: Vec<String>,
}

impl Storm {
    fn pass(&mut self, by: Duration) {
        self.events.push(format!("{by:?} pass"));
        self.chain.step(by, &mut self.streams);
        for (plugin, own) in self.chain.plugins.iter_mut().enumerate() {
            for (vm, call) in own.take_calls() {
                self.calls.push((plugin, vm, call));
            }
        }
    }

    /// Makes one event.
    fn happen(&mut self, form: &Form, bytes: &mut Bytes<'_>) {
        match bytes.below(16) {
            0 | 1 if self.streams.len() < MAX_STREAMS => self.begin(bytes),
            2..=4 => self.send(bytes),
            5 | 6 => self.reply(bytes),
            7 => self.close(bytes),
            8 => self.pass(TICK * u32::from(bytes.byte() % 16)),
            9 | 10 => self.pass(TICK),
            11 => self.chain.deliver_queues(&mut self.streams),
            12 => self.break_calls(bytes),
            13 => self.answer_one(bytes),
            14 => self.stray(bytes),
            _ if bytes.once_in(8) => self.configure(form, bytes),
            _ => {
                self.events.push("faults are over".to_owned());
                self.chain.all().for_each(|own| own.script.clear_faults());
            }
        }
    }

    fn begin(&mut self, bytes: &mut Bytes<'_>) {
        let worker = bytes.below(WORKERS);
        let body = requests::body(bytes);
        let mut stream = self.chain.open(worker, body);
        let last = self.chain.plugins.len() - 1;
        for (path, value) in requests::attributes(bytes) {
            for plugin in 0..=last {
                let number = stream.numbers[plugin];
                let vm = &mut self.chain.worker(plugin, worker).vm;
                vm.set_attribute(number, path, value);
            }
        }
        self.outcome.requests += 1;
        let event = format!("{:?} begins at worker {worker}", stream.numbers);
        self.events.push(event);
        // A stream that ends before its headers is one that the proxy itself has refused.
        if !bytes.once_in(16) {
            let headers = requests::headers(bytes, stream.body.len());
            let end = stream.body.is_empty() && bytes.once_in(2);
            stream.begun = true;
            stream.ended = end;
            self.chain.request(&mut stream, Part::Headers(headers, end));
        }
        self.streams.push(stream);
    }

    fn one(&mut self, bytes: &mut Bytes<'_>) -> Option<usize> {
        let count = self.streams.len();
        (count > 0).then(|| bytes.below(count))
    }

    /// Sends more of a body.
    fn send(&mut self, bytes: &mut Bytes<'_>) {
        let Some(index) = self.one(bytes) else { return };
        let stream = &mut self.streams[index];
        if !stream.begun || stream.ended {
            return;
        }
        let left = stream.body.len() - stream.sent;
        let len = left.min([0, 1, 100, 4_096, 16_384, 65_536][bytes.below(6)]);
        let chunk = stream.body[stream.sent..][..len].to_vec();
        stream.sent += len;
        stream.ended = len == left && bytes.once_in(2);
        let trailers = stream.ended && bytes.once_in(4);
        let end = stream.ended && !trailers;
        let event = format!(
            "{:?} sends {len} bytes, end: {}",
            stream.numbers, stream.ended
        );
        self.events.push(event);
        self.chain.request(stream, Part::Body(chunk, end));
        if trailers {
            let trailers = [("x-end", "1")].into_iter().collect();
            self.chain.request(stream, Part::Trailers(trailers));
        }
    }

    /// Sends more of an answer, or the proxy's own answer.
    fn reply(&mut self, bytes: &mut Bytes<'_>) {
        let Some(index) = self.one(bytes) else { return };
        let stream = &mut self.streams[index];
        if !stream.begun || stream.cut || stream.answer_ended {
            return;
        }
        if stream.headers.is_none() || (!stream.answered && bytes.once_in(8)) {
            let last = self.chain.plugins.len() - 1;
            let number = stream.numbers[last];
            let vm = &mut self.chain.worker(last, stream.worker).vm;
            vm.local_reply(number, 503, HeaderMap::new(), b"no".to_vec());
            stream.excused = true;
            self.chain.settle(stream);
        } else if !stream.answered {
            stream.answered = true;
            stream.answer_ended = bytes.once_in(8);
            let headers = requests::answer(bytes);
            let end = stream.answer_ended;
            self.chain.answer(stream, Part::Headers(headers, end));
        } else {
            stream.answer_ended = bytes.once_in(3);
            let end = stream.answer_ended;
            let part = if end && bytes.once_in(3) {
                Part::Trailers(HeaderMap::new())
            } else {
                Part::Body(vec![b'x'; bytes.below(600)], end)
            };
            self.chain.answer(stream, part);
        }
    }

    fn close(&mut self, bytes: &mut Bytes<'_>) {
        if let Some(index) = self.one(bytes) {
            let stream = self.streams.swap_remove(index);
            self.events.push(format!("{:?} is closed", stream.numbers));
            self.outcome.placed += usize::from(requests::is_placed(&stream));
            self.chain.close(&stream, !bytes.once_in(4));
        }
    }

    fn break_calls(&mut self, bytes: &mut Bytes<'_>) {
        let all = self.chain.all().count();
        let broken = bytes.below(all);
        let fault = Fault::of(bytes);
        self.events.push(format!("{fault:?} at VM {broken}"));
        if let Some(own) = self.chain.all().nth(broken) {
            fault.happen(&own.script);
        }
    }

    /// Answers a call-out, or one that was never made.
    fn answer_one(&mut self, bytes: &mut Bytes<'_>) {
        if self.calls.is_empty() || bytes.once_in(8) {
            let plugin = bytes.below(self.chain.plugins.len());
            let token = bytes.u32() % 64;
            let table = self.table("chat");
            let own = &mut self.chain.plugins[plugin];
            let vm = bytes.below(1 + WORKERS);
            if let Some(worker) = own.all().nth(vm) {
                let answer = requests::table_answer(bytes, &table);
                worker.vm.answer_unknown_call(token, answer);
            }
            return;
        }
        let at = bytes.below(self.calls.len());
        let (plugin, vm, call) = self.calls.swap_remove(at);
        let table = self.table(&pool_of(&call));
        let answer = requests::table_answer(bytes, &table);
        self.chain.plugins[plugin].answer(vm, call.token, answer);
        self.chain.deliver_queues(&mut self.streams);
    }

    /// Answers every call-out as an aggregator would; with a table if `newer`.
    fn answer_all(&mut self, newer: bool) {
        for (plugin, vm, call) in std::mem::take(&mut self.calls) {
            let pool = pool_of(&call);
            if let Ok(report) = Report::decode(&call.body) {
                self.reports.insert(pool.clone(), report);
            }
            let answer = if newer {
                CallAnswer::new(200, self.table(&pool))
            } else {
                CallAnswer::new(204, "")
            };
            self.chain.plugins[plugin].answer(vm, call.token, Some(answer));
        }
        self.chain.deliver_queues(&mut self.streams);
    }

    fn table(&mut self, pool: &str) -> Vec<u8> {
        self.sequence += 1;
        let endpoint = |n: u32| Endpoint {
            address: format!("10.0.0.{n}:8000"),
            wait_ms: Some(n * 10),
            ..Endpoint::default()
        };
        requests::table(pool, self.sequence, (1..=4).map(endpoint).collect()).encode()
    }

    /// Makes a callback that no proxy sends.
    fn stray(&mut self, bytes: &mut Bytes<'_>) {
        let callback = *bytes.of(&Stray::ALL);
        let plugin = bytes.below(self.chain.plugins.len());
        let worker = bytes.below(WORKERS);
        let (first, second) = (bytes.u32(), u32::from(bytes.byte()));
        let context = match bytes.below(4) {
            0 => Vm::ROOT,
            1 => match self.one(bytes).map(|index| &mut self.streams[index]) {
                Some(stream) if stream.worker == worker => {
                    stream.excused = true;
                    stream.numbers[plugin]
                }
                _ => 0,
            },
            _ => NOBODY + first % 8,
        };
        // A plugin that was told to end has ended, so that callback is left out here.
        if (context, callback) == (Vm::ROOT, Stray::Done) {
            return;
        }
        let first = match callback {
            Stray::ContextCreate => {
                self.strays.push((plugin, worker, context));
                if first % 4 == 0 { first } else { Vm::ROOT }
            }
            _ => first >> (first % 32),
        };
        let event =
            format!("stray {callback:?} of {context}, {first}, at worker {worker} of {plugin}");
        self.events.push(event);
        let vm = &mut self.chain.worker(plugin, worker).vm;
        vm.stray(callback, context, first, second % 2);
    }

    /// Configures a plugin again, with the same or a broken configuration.
    fn configure(&mut self, form: &Form, bytes: &mut Bytes<'_>) {
        let plugin = bytes.below(form.plugins.len());
        let worker = bytes.below(WORKERS);
        let good = form.plugins[plugin].as_bytes();
        let config = if bytes.once_in(2) { good } else { b"{" };
        self.events
            .push(format!("worker {worker} of {plugin} is configured again"));
        // `failure` reports a trap.
        let _taken = self.chain.worker(plugin, worker).vm.configure(config);
    }

    /// Ends faults, completes bodies, lets time pass, and ends streams.
    fn calm(&mut self) -> Result<Outcome, String> {
        self.chain.all().for_each(|own| own.script.clear_faults());
        for stream in self
            .streams
            .iter_mut()
            .filter(|own| own.begun && !own.ended)
        {
            let chunk = stream.body[stream.sent..].to_vec();
            stream.sent = stream.body.len();
            stream.ended = true;
            self.chain.request(stream, Part::Body(chunk, true));
        }
        for _ in 0..30 {
            self.pass(TICK);
            self.answer_all(true);
        }
        for stream in std::mem::take(&mut self.streams) {
            self.outcome.placed += usize::from(requests::is_placed(&stream));
            let is_whole = stream.arrived_whole && !stream.cut && stream.arrived == stream.body;
            if stream.begun && !stream.excused && !is_whole {
                return Err(format!("a request has not gone on: {stream:?}"));
            }
            self.chain.close(&stream, true);
        }
        for (plugin, worker, number) in std::mem::take(&mut self.strays) {
            let vm = &mut self.chain.worker(plugin, worker).vm;
            vm.stray(Stray::Done, number, 0, 0);
            vm.stray(Stray::Delete, number, 0, 0);
        }
        self.empty()?;
        let bytes = self.chain.all().map(|own| own.vm.memory_bytes());
        self.outcome.memory_bytes = bytes.max().unwrap_or(0);
        if self.outcome.memory_bytes > MAX_MEMORY_BYTES {
            return Err(format!("a VM has {} bytes", self.outcome.memory_bytes));
        }
        self.chain.all().for_each(|own| own.vm.shutdown());
        let failure = self.chain.failure();
        failure.map_or(Ok(self.outcome), |failure| {
            Err(format!("a VM trapped: {failure}"))
        })
    }

    /// Lets time pass until reports have nothing in flight.
    fn empty(&mut self) -> Result<(), String> {
        self.reports.clear();
        for _ in 0..400 {
            self.pass(TICK);
            self.answer_all(false);
            let rows = self.reports.values().flat_map(|report| &report.endpoints);
            let open: u32 = rows.map(|row| row.in_flight).sum();
            if !self.reports.is_empty() && open == 0 {
                return Ok(());
            }
        }
        Err(format!("in flight for ever: {:?}", self.reports))
    }
}

/// Returns the pool of a call.
fn pool_of(call: &HttpCall) -> String {
    let path = call.headers.text(":path").unwrap_or_default();
    path.split('/').nth(3).unwrap_or_default().to_owned()
}
