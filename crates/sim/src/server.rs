//! One endpoint: its engine, and the content of its metrics page.

use std::rc::Rc;

use trimtab_engine::{Engine, Event, Profile, ProfileError, StepPlan};
use trimtab_estimate::{Adapters, Counters, Sample, SumCount};
use trimtab_loadtable::endpoint_id;
use trimtab_pick::EndpointId;

use crate::{PLACEMENT_KEY, Page};

/// The state of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Serving,
    /// Listed as draining. Still works.
    Draining,
    /// Accepts requests and answers none. Listed as before.
    Hung {
        /// Whether scrapes get no answer either.
        page_hangs: bool,
    },
    /// Killed. Connections to it fail, and scrapes get no answer.
    Dead,
}

impl Life {
    /// Returns whether connections succeed.
    pub(crate) fn listens(self) -> bool {
        matches!(self, Self::Serving | Self::Draining | Self::Hung { .. })
    }

    /// Returns whether the endpoint works on its requests.
    pub(crate) fn works(self) -> bool {
        matches!(self, Self::Serving | Self::Draining)
    }
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: Rc<str>,
    pub(crate) id: EndpointId,
    pub(crate) class: String,
    pub(crate) engine: Engine,
    pub(crate) life: Life,
    pub(crate) page: Page,
    /// Whether a step is under way.
    pub(crate) stepping: bool,
    /// How often it was started again. Ends of steps that began before a restart are ignored.
    pub(crate) starts: u32,
    /// Factor of its profile's speed.
    pub(crate) pace: f64,
    /// What its page says while it hangs.
    frozen: Option<Box<Sample>>,
    /// Requests sent to it so far.
    pub(crate) got: u64,
    /// Uncached prompt tokens of queued requests, as computed when they were sent. Only the oracle
    /// uses this.
    pub(crate) queued_tokens: u64,
    /// Cached prompt tokens of the requests that got their first token.
    cached_tokens: u64,
    ttft_s: SumCount,
    itl_s: SumCount,
    step_tokens: SumCount,
}

impl Server {
    /// Makes the endpoint number `index` of the run.
    pub(crate) fn new(index: u32, class: &str, profile: Profile) -> Result<Self, ProfileError> {
        let (a, b, c) = (index / 10_000, index / 100 % 100, index % 100);
        // Each part has three digits, so that addresses sort in the order of the endpoints.
        let address = format!("10.{}.{}.{}:8000", 100 + a, 100 + b, 100 + c);
        Ok(Self {
            id: endpoint_id(&PLACEMENT_KEY, &address),
            address: address.into(),
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

    /// Stops in the middle of the work. `adapters`: as for [`sample`](Self::sample).
    pub(crate) fn hang(&mut self, page_hangs: bool, adapters: bool) {
        self.frozen = Some(Box::new(self.sample(adapters)));
        self.life = Life::Hung { page_hangs };
    }

    /// Starts again, without requests and with an empty cache. The caller must end its requests
    /// before.
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

    /// Returns whether its page, if it answers, has samples.
    pub(crate) fn has_samples(&self) -> bool {
        match self.page {
            Page::Whole => true,
            Page::FromFirstRequest => self.engine.counters().prefix_query_tokens > 0,
            Page::Unreadable => false,
        }
    }

    /// Returns its true speed: the profile's speed times `pace`.
    pub(crate) fn speed(&self) -> f64 {
        self.engine.profile().speed * self.pace
    }

    /// Begins a step if there is work and no step is under way.
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

    /// Counts a first token. `cached_tokens` is the part of the prompt that the admission found in
    /// the cache.
    pub(crate) fn on_first_token(&mut self, ttft_s: f64, cached_tokens: u32) {
        self.cached_tokens += u64::from(cached_tokens);
        add(&mut self.ttft_s, ttft_s);
    }

    pub(crate) fn on_token(&mut self, gap_s: f64) {
        add(&mut self.itl_s, gap_s);
    }

    /// Returns what a scrape would find. As on vLLM's page, queued tokens are missing. `adapters`
    /// says whether the page has adapters.
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
