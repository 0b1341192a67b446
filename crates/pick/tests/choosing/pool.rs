//! Small pools and requests.

use std::rc::Rc;

use trimtab_pick::{
    Config, Conversation, Decision, EndpointId, EndpointLoad, Millis, Picker, PoolFacts, Prefix,
    Request, Rng, Snapshot, State,
};

pub(crate) const NOW: Millis = Millis(50_000);
/// Prompt tokens per second of every endpoint here. 1,000 tokens are 0.1 s.
pub(crate) const SPEED: f32 = 10_000.0;

pub(crate) fn endpoint(number: u64, wait_s: f32) -> EndpointLoad {
    EndpointLoad {
        id: EndpointId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5555),
        state: State::Ready,
        wait_s: Some(wait_s),
        waiting: None,
        running: None,
        kv_used: None,
        prefill_tokens_per_s: Some(SPEED),
        decode_s_per_sequence: Some(0.0),
        speed: Some(1.0),
        adapters: Some(Vec::new()),
        adapter_room: None,
        age_ms: 0,
        ..EndpointLoad::default()
    }
}

pub(crate) fn pool(waits: &[f32]) -> Vec<EndpointLoad> {
    (0..)
        .zip(waits)
        .map(|(number, wait_s)| endpoint(number, *wait_s))
        .collect()
}

/// A picker with a table that has just come.
pub(crate) fn picker(endpoints: Vec<EndpointLoad>) -> Picker {
    let mut picker = Picker::new(Config::default());
    picker.on_table(
        Rc::new(Snapshot::new(endpoints, PoolFacts::default(), NOW)),
        None,
    );
    picker
}

pub(crate) fn plain() -> Request {
    Request {
        prompt_tokens: Some(100),
        ..Request::default()
    }
}

pub(crate) fn first(decision: &Decision) -> usize {
    decision.choices.as_slice()[0] as usize
}

/// How often each endpoint is the first choice in `runs` decisions.
pub(crate) fn shares(picker: &mut Picker, request: &Request, runs: usize) -> Vec<f64> {
    let mut counts = vec![0.0; picker.snapshot().map_or(0, |table| table.endpoints().len())];
    let mut rng = Rng::new(11);
    for _ in 0..runs {
        counts[first(&picker.choose(NOW, &mut rng, request))] += 1.0;
    }
    counts
        .iter()
        .map(|count: &f64| count / runs as f64)
        .collect()
}

/// Finds the place of the conversation `key`. Without load a long history decides.
pub(crate) fn home(endpoints: &[EndpointLoad], key: u64) -> usize {
    let idle = endpoints
        .iter()
        .map(|e| EndpointLoad {
            wait_s: Some(0.0),
            ..e.clone()
        })
        .collect();
    let request = conversation(key, 100_000, 100_000);
    first(&picker(idle).choose(NOW, &mut Rng::new(0), &request))
}

pub(crate) fn conversation(key: u64, prompt_tokens: u32, history_tokens: u32) -> Request {
    Request {
        prompt_tokens: Some(prompt_tokens),
        conversation: Some(Conversation {
            is_named: false,
            is_cut: false,
            key,
            history_tokens,
        }),
        ..Request::default()
    }
}

pub(crate) fn prefix(key: u64, prompt_tokens: u32, tokens: u32) -> Request {
    Request {
        prompt_tokens: Some(prompt_tokens),
        prefix: Some(Prefix {
            key,
            tokens,
            ..Prefix::default()
        }),
        ..Request::default()
    }
}
