//! Properties that hold for every sequence of calls.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use trimtab_engine::{BLOCK_TOKENS, Engine, Event, Profile, Request};

#[derive(Debug, Clone)]
enum Act {
    Submit {
        prompt: u32,
        output: u32,
        family: u64,
        adapter: Option<u32>,
    },
    Begin,
    Finish,
    Cancel(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let adapter = prop_oneof![2 => Just(None), 1 => (0..4u32).prop_map(Some)];
    prop_oneof![
        2 => (1..90u32, 1..40u32, 0..3u64, adapter)
            .prop_map(|(prompt, output, family, adapter)| Act::Submit { prompt, output, family, adapter }),
        6 => Just(Act::Begin),
        6 => Just(Act::Finish),
        1 => any::<usize>().prop_map(Act::Cancel),
    ]
}

fn profile() -> impl Strategy<Value = Profile> {
    (9..40u32, 1..6u32, 8..64u32, 1..4u32).prop_map(
        |(kv_blocks, max_num_seqs, max_batched_tokens, adapter_slots)| Profile {
            kv_blocks,
            max_num_seqs,
            max_batched_tokens,
            adapter_slots,
            watermark_ratio: 0.05,
            ..Profile::named("a100").unwrap()
        },
    )
}

fn chain(family: u64, tokens: u32) -> Vec<u64> {
    (0..u64::from(tokens / BLOCK_TOKENS))
        .map(|b| (family << 32 | (b + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .collect()
}

/// An engine, with a record of the calls to it and of its answers.
struct World {
    engine: Engine,
    profile: Profile,
    live: HashMap<u64, Request>,
    order: Vec<u64>,
    produced: HashMap<u64, u32>,
    running: HashSet<u64>,
    next_id: u64,
    tokens: u64,
    finished: u64,
    computed: u64,
    open: bool,
}

impl World {
    fn new(profile: Profile) -> Self {
        Self {
            engine: Engine::new(profile.clone()).unwrap(),
            profile,
            live: HashMap::new(),
            order: vec![],
            produced: HashMap::new(),
            running: HashSet::new(),
            next_id: 0,
            tokens: 0,
            finished: 0,
            computed: 0,
            open: false,
        }
    }

    fn act(&mut self, act: &Act) -> Result<(), TestCaseError> {
        match *act {
            Act::Submit {
                prompt,
                output,
                family,
                adapter,
            } => {
                let chain = chain(family * 8 + adapter.map_or(7, u64::from), prompt + output);
                let request = Request {
                    id: self.next_id,
                    prompt_tokens: prompt,
                    output_tokens: output,
                    chain,
                    adapter,
                };
                self.next_id += 1;
                self.engine.submit(request.clone()).unwrap();
                self.order.push(request.id);
                self.live.insert(request.id, request);
            }
            Act::Begin => self.begin()?,
            Act::Finish => self.finish()?,
            Act::Cancel(at) if !self.order.is_empty() => {
                let id = self.order[at % self.order.len()];
                prop_assert_eq!(self.engine.cancel(id), self.live.remove(&id).is_some());
                self.running.remove(&id);
                self.order.retain(|other| *other != id);
            }
            Act::Cancel(_) => {}
        }
        self.check()
    }

    fn begin(&mut self) -> Result<(), TestCaseError> {
        let mut events = vec![];
        let plan = self.engine.begin_step(&mut events);
        if self.open {
            prop_assert!(plan.is_none() && events.is_empty());
            return Ok(());
        }
        for event in events {
            match event {
                Event::Admitted { id, cached_tokens } => {
                    let request = &self.live[&id];
                    let known =
                        request.prompt_tokens + self.produced.get(&id).copied().unwrap_or(0);
                    prop_assert!(cached_tokens < known && cached_tokens % BLOCK_TOKENS == 0);
                    prop_assert!(self.running.insert(id));
                }
                Event::Preempted { id } => prop_assert!(self.running.remove(&id)),
                Event::Token { .. } => prop_assert!(false, "a token at the beginning of a step"),
            }
        }
        self.open = plan.is_some();
        // The engine is idle only if there is no work.
        prop_assert_eq!(plan.is_none(), self.engine.is_idle());
        if let Some(plan) = plan {
            self.computed += u64::from(plan.prefill_tokens);
            prop_assert!(
                plan.prefill_tokens + plan.decode_sequences <= self.profile.max_batched_tokens
            );
            prop_assert!(plan.duration_s >= self.profile.step_base_s);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), TestCaseError> {
        let mut events = vec![];
        self.engine.finish_step(&mut events);
        self.open = false;
        for event in events {
            let Event::Token {
                id,
                produced,
                finished,
            } = event
            else {
                return Err(TestCaseError::fail("only tokens at the end of a step"));
            };
            let request = &self.live[&id];
            prop_assert!(self.running.contains(&id));
            let before = self.produced.entry(id).or_default();
            *before += 1;
            prop_assert_eq!(produced, *before);
            prop_assert_eq!(finished, produced == request.output_tokens);
            self.tokens += 1;
            if finished {
                self.finished += 1;
                self.live.remove(&id);
                self.running.remove(&id);
                self.order.retain(|other| *other != id);
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let (gauges, counters) = (self.engine.gauges(), self.engine.counters());
        prop_assert_eq!(counters.generation_tokens, self.tokens);
        prop_assert_eq!(counters.finished, self.finished);
        prop_assert_eq!(counters.computed_prefill_tokens, self.computed);
        prop_assert!(gauges.running <= self.profile.max_num_seqs);
        prop_assert!(gauges.kv_blocks_used <= self.profile.kv_blocks);
        prop_assert!(gauges.kv_blocks_cached <= self.profile.kv_blocks);
        if !self.open {
            prop_assert_eq!(gauges.running as usize, self.running.len());
            prop_assert_eq!((gauges.running + gauges.waiting) as usize, self.live.len());
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn every_request_gets_its_tokens_and_every_block_comes_back(
        profile in profile(),
        acts in prop::collection::vec(act(), 0..250),
    ) {
        let mut world = World::new(profile);
        for act in &acts {
            world.act(act)?;
        }
        // Run until idle. No cycle of preemptions may last, because the oldest sequence always
        // advances. So this bound is generous.
        let bound = 200 + 60 * world.live.len();
        for _ in 0..bound {
            world.act(&Act::Begin)?;
            world.act(&Act::Finish)?;
        }
        prop_assert!(world.engine.is_idle() && world.live.is_empty(), "starved: {:?}", world.live.keys());
        prop_assert_eq!(world.engine.gauges().kv_blocks_used, 0);
        prop_assert_eq!(world.engine.running_adapters().count(), 0);
    }

    #[test]
    fn without_adapters_first_admissions_keep_the_order_of_arrival(
        profile in profile(),
        sizes in prop::collection::vec((1..90u32, 1..40u32), 1..30),
    ) {
        let mut engine = Engine::new(profile).unwrap();
        for (id, (prompt_tokens, output_tokens)) in (0..).zip(&sizes) {
            let (prompt_tokens, output_tokens) = (*prompt_tokens, *output_tokens);
            engine.submit(Request { id, prompt_tokens, output_tokens, chain: vec![], adapter: None }).unwrap();
        }
        let (mut seen, mut events) = (HashSet::new(), vec![]);
        while engine.begin_step(&mut events).is_some() {
            engine.finish_step(&mut events);
        }
        let first: Vec<u64> = events
            .iter()
            .filter_map(|e| match e { Event::Admitted { id, .. } => seen.insert(*id).then_some(*id), _ => None })
            .collect();
        prop_assert_eq!(first, (0..sizes.len() as u64).collect::<Vec<_>>());
    }

    #[test]
    fn the_same_calls_give_the_same_answers(profile in profile(), acts in prop::collection::vec(act(), 0..100)) {
        let trace = || {
            let mut world = World::new(profile.clone());
            let mut trace = vec![];
            for act in &acts {
                world.act(act)?;
                trace.push((world.engine.counters(), world.engine.gauges()));
            }
            Ok::<_, TestCaseError>(trace)
        };
        prop_assert_eq!(trace()?, trace()?);
    }
}
