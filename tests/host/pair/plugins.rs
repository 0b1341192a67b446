//! Tap and pick in one chain.

use std::time::Duration;

use trimtab_wasmhost::{Direction, Effect, HeaderMap, LogLevel, Options, Part, ScriptedProxy};

use crate::support::{DESTINATION, EXPLAIN, config_with, counter, module, table};

/// Stock Envoy as Istio configures it: without the option.
pub(super) const STOP_ALL: Options = Options {
    allow_on_headers_stop_iteration: false,
    buffer_limit_bytes: 32 << 10,
};

/// Two plugins in one proxy.
pub(super) struct Pair {
    pub(super) tap: ScriptedProxy,
    pub(super) pick: ScriptedProxy,
}

/// One request in the chain: its numbers at tap and at pick, and the output of pick.
pub(super) struct Chained {
    pub(super) tap: u32,
    pub(super) pick: u32,
    pub(super) headers: Option<HeaderMap>,
    pub(super) body: Vec<u8>,
    pub(super) ended: bool,
}

pub(super) fn role(role: &str, more: &str) -> String {
    config_with(&format!(r#""role": "{role}"{more}"#))
}

impl Pair {
    pub(super) fn new() -> Self {
        Self::with(&role("tap", ""), &role("pick", ""))
    }

    pub(super) fn with(tap: &str, pick: &str) -> Self {
        let tap = ScriptedProxy::start(module(), tap, 1, STOP_ALL).expect("tap starts");
        let pick = tap
            .start_beside(module(), pick, STOP_ALL)
            .expect("pick starts");
        let mut pair = Self { tap, pick };
        assert!(pair.tap.deliver(&table().encode()));
        pair
    }

    pub(super) fn open(&mut self, headers: HeaderMap, end: bool) -> Chained {
        let mut request = Chained {
            tap: self.tap.vm().open(),
            pick: self.pick.vm().open(),
            headers: None,
            body: Vec::new(),
            ended: false,
        };
        let (tap, pick) = (self.tap.vm(), self.pick.vm());
        tap.headers(request.tap, Direction::Request, headers, end);
        for effect in tap.take_effects_of(request.tap) {
            if let Effect::Forward(_, Part::Headers(headers, end)) = effect {
                pick.set_filter_state(request.pick, tap.filter_state(request.tap));
                pick.headers(request.pick, Direction::Request, headers, end);
                tap.set_filter_state(request.tap, pick.filter_state(request.pick));
            }
        }
        self.settle(&mut request);
        request
    }

    pub(super) fn body(&mut self, request: &mut Chained, chunk: &[u8], end: bool) {
        let tap = self.tap.vm();
        tap.body(request.tap, Direction::Request, chunk.to_vec(), end);
        self.settle(request);
    }

    /// Passes on the output of tap, delivers pick's queue, and collects the output of pick.
    pub(super) fn settle(&mut self, request: &mut Chained) {
        let (tap, pick) = (self.tap.vm(), self.pick.vm());
        for effect in tap.take_effects_of(request.tap) {
            if let Effect::Forward(_, Part::Body(chunk, end)) = effect {
                pick.body(request.pick, Direction::Request, chunk, end);
            }
        }
        pick.deliver_queues();
        // Both see the same state of the stream.
        let mut state = tap.filter_state(request.tap);
        state.extend(pick.filter_state(request.pick));
        tap.set_filter_state(request.tap, state);
        for effect in pick.take_effects_of(request.pick) {
            match effect {
                Effect::Forward(_, Part::Headers(headers, end)) => {
                    request.headers = Some(headers);
                    request.ended |= end;
                }
                Effect::Forward(_, Part::Body(chunk, end)) => {
                    request.body.extend(chunk);
                    request.ended |= end;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    pub(super) fn run_for(&mut self, span: Duration) {
        // Both have one clock. Tap's run moves it for both; pick's own ticks need no more time.
        let step = Duration::from_millis(100);
        for _ in 0..span.as_millis() / step.as_millis() {
            self.tap.run_for(step);
            for worker in self.pick.all() {
                worker.vm.tick();
                worker.vm.deliver_queues();
            }
        }
    }

    /// Answers a request, and returns the reason that the answer gives.
    pub(super) fn answered(&mut self, request: &Chained) -> Option<String> {
        let tap = self.tap.vm();
        let headers = [(":status", "200")].into_iter().collect();
        tap.headers(request.tap, Direction::Response, headers, true);
        let told = tap.take_effects_of(request.tap).into_iter();
        let mut explained = told.filter_map(|effect| match effect {
            Effect::Forward(Direction::Response, Part::Headers(headers, _)) => Some(headers),
            _ => None,
        });
        let headers = explained.next_back()?;
        let (reason, _) = headers.text(EXPLAIN)?.split_once(';')?;
        Some(reason.strip_prefix("reason=")?.to_owned())
    }

    pub(super) fn close(&mut self, request: &Chained) {
        self.tap.vm().close(request.tap);
        self.pick.vm().close(request.pick);
    }

    pub(super) fn fault(&self, reason: &str) -> u64 {
        counter(&self.tap, "trimtab_setup_errors_total", "reason", reason)
    }

    /// Returns how many decisions were counted.
    pub(super) fn decisions(&self) -> u64 {
        let all = self.tap.shared.all_metrics().into_iter();
        let counted = all.filter(|metric| metric.name.starts_with("trimtab_decisions_total."));
        counted.map(|metric| metric.value).sum()
    }

    /// Returns the names of all counted setup errors of both plugins.
    pub(super) fn faults(&self) -> Vec<String> {
        let all = [&self.tap, &self.pick].map(|proxy| proxy.shared.all_metrics());
        let names = all.into_iter().flatten().map(|metric| metric.name);
        names
            .filter(|name| name.starts_with("trimtab_setup_errors_total."))
            .collect()
    }

    pub(super) fn warnings(&mut self) -> String {
        let tap = self.tap.worker(0).script.log_text(LogLevel::Warn);
        tap + &self.pick.worker(0).script.log_text(LogLevel::Warn)
    }
}

impl Chained {
    pub(super) fn destination(&self) -> Option<&str> {
        self.headers.as_ref()?.text(DESTINATION)
    }
}

pub(super) fn headers(more: &[(&str, &str)]) -> HeaderMap {
    let mut all = vec![
        (":method", "POST"),
        (":path", "/v1/chat/completions"),
        (":authority", "models.example"),
        ("content-type", "application/json"),
    ];
    all.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
    all.into_iter().chain(more.iter().copied()).collect()
}
