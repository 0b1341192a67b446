//! One endpoint: an engine, and what its metrics page would say.

use trimtab_engine::{Engine, Event, Profile, ProfileError, StepPlan};
use trimtab_estimate::{Adapters, Counters, Sample, SumCount};
use trimtab_loadtable::endpoint_id;
use trimtab_pick::EndpointId;

use crate::{PLACEMENT_KEY, Page};

/// Whether an endpoint is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Serving,
    /// Listed as draining.
    Draining,
    /// Takes requests and answers none; listed as before.
    Hung {
        /// Answers no scrape either.
        page_hangs: bool,
    },
    /// Killed: connections to it fail, and it answers no scrape.
    Dead,
    /// No longer listed.
    Gone,
}

impl Life {
    /// Whether connections to it succeed.
    pub(crate) fn listens(self) -> bool {
        matches!(self, Self::Serving | Self::Draining | Self::Hung { .. })
    }

    /// Whether it works on what it has.
    pub(crate) fn works(self) -> bool {
        matches!(self, Self::Serving | Self::Draining)
    }
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: String,
    pub(crate) id: EndpointId,
    pub(crate) class: String,
    pub(crate) engine: Engine,
    pub(crate) life: Life,
    pub(crate) page: Page,
    /// A step is under way.
    pub(crate) stepping: bool,
    /// How often it was started: the end of a step that an earlier start began means nothing.
    pub(crate) starts: u32,
    /// Its true speed is that of its profile times this.
    pub(crate) pace: f64,
    /// What its page says although it hangs.
    frozen: Option<Box<Sample>>,
    /// Requests sent to it.
    pub(crate) got: u64,
    /// Uncached prompt tokens of requests that are queued, as known when they were sent: for the oracle.
    pub(crate) queued_tokens: u64,
    /// Cached prompt tokens of the requests that got their first token.
    cached_tokens: u64,
    ttft_s: SumCount,
    itl_s: SumCount,
    step_tokens: SumCount,
}

impl Server {
    /// The `index`-th endpoint of the run.
    pub(crate) fn new(index: u32, class: &str, profile: Profile) -> Result<Self, ProfileError> {
        let (a, b, c) = (index / 10_000, index / 100 % 100, index % 100);
        // Three digits each, so that addresses sort as their endpoints do.
        let address = format!("10.{}.{}.{}:8000", 100 + a, 100 + b, 100 + c);
        Ok(Self {
            id: endpoint_id(&PLACEMENT_KEY, &address),
            address,
            class: class.to_owned(),
            engine: Engine::new(profile)?,
            life: Life::Serving,
            page: Page::Whole,
            stepping: false,
            starts: 0,
            pace: 1.0,
            frozen: None,
            got: 0,
            queued_tokens: 0,
            cached_tokens: 0,
            ttft_s: SumCount::default(),
            itl_s: SumCount::default(),
            step_tokens: SumCount::default(),
        })
    }

    /// Stops in the middle of what it does. `adapters`: as for [`sample`](Self::sample).
    pub(crate) fn hang(&mut self, page_hangs: bool, adapters: bool) {
        self.frozen = Some(Box::new(self.sample(adapters)));
        self.life = Life::Hung { page_hangs };
    }

    /// Starts anew, with nothing of what it had. Its requests are to be ended before.
    pub(crate) fn restart(&mut self) -> Result<(), ProfileError> {
        let fresh = Engine::new(self.engine.profile().clone())?;
        self.engine = fresh;
        self.life = Life::Serving;
        (self.stepping, self.frozen) = (false, None);
        self.starts += 1;
        (self.queued_tokens, self.cached_tokens) = (0, 0);
        (self.ttft_s, self.itl_s) = (SumCount::default(), SumCount::default());
        self.step_tokens = SumCount::default();
        Ok(())
    }

    /// Whether its page, if it answers, has samples.
    pub(crate) fn has_samples(&self) -> bool {
        match self.page {
            Page::Whole => true,
            Page::FromFirstRequest => self.engine.counters().prefix_query_tokens > 0,
            Page::Unreadable => false,
        }
    }

    /// How fast it is now, 1: as its profile describes.
    pub(crate) fn speed(&self) -> f64 {
        self.engine.profile().speed * self.pace
    }

    /// Begins a step when there is something to do and none is under way.
    pub(crate) fn begin_step(&mut self, events: &mut Vec<Event>) -> Option<StepPlan> {
        if self.stepping || !self.life.works() {
            return None;
        }
        let mut plan = self.engine.begin_step(events)?;
        plan.duration_s /= self.pace;
        self.stepping = true;
        add(
            &mut self.step_tokens,
            f64::from(plan.prefill_tokens + plan.decode_sequences),
        );
        Some(plan)
    }

    /// `cached_tokens`: of the request's prompt, as its admission found.
    pub(crate) fn on_first_token(&mut self, ttft_s: f64, cached_tokens: u32) {
        self.cached_tokens += u64::from(cached_tokens);
        add(&mut self.ttft_s, ttft_s);
    }

    pub(crate) fn on_token(&mut self, gap_s: f64) {
        add(&mut self.itl_s, gap_s);
    }

    /// What a scrape would find, as vLLM says it: queue tokens are not among it.
    pub(crate) fn sample(&self, adapters: bool) -> Sample {
        if let Some(frozen) = &self.frozen {
            return Sample::clone(frozen);
        }
        let (gauges, totals) = (self.engine.gauges(), self.engine.counters());
        let count = |value: u64| Some(value as f64);
        let name = |index: u32| crate::client::adapter_name(index);
        Sample {
            waiting: Some(f64::from(gauges.waiting)),
            running: Some(f64::from(gauges.running)),
            kv_used: Some(gauges.kv_used_ratio),
            kv_blocks: Some(f64::from(self.engine.profile().kv_blocks)),
            kv_block_tokens: Some(f64::from(trimtab_engine::BLOCK_TOKENS)),
            counters: Counters {
                prompt_tokens: count(totals.prompt_tokens),
                cached_tokens: count(self.cached_tokens),
                prefix_queries: count(totals.prefix_query_tokens),
                prefix_hits: count(totals.prefix_hit_tokens),
                generation_tokens: count(totals.generation_tokens),
                finished: count(totals.finished),
                step_tokens: Some(self.step_tokens),
                ttft_s: Some(self.ttft_s),
                itl_s: Some(self.itl_s),
                ..Counters::default()
            },
            adapters: adapters.then(|| Adapters {
                running: self.engine.running_adapters().map(name).collect(),
                waiting: self.engine.waiting_adapters().map(name).collect(),
                slots: Some(self.engine.profile().adapter_slots),
                loaded: None,
            }),
            ..Sample::default()
        }
    }
}

fn add(total: &mut SumCount, value: f64) {
    total.sum += value;
    total.count += 1.0;
}
