//! Small pools, and how often each endpoint is chosen.

use std::rc::Rc;

use trimtab_pick::{
    Decision, EndpointId, EndpointLoad, Millis, Picker, Policy, PoolFacts, Request, Rng, Snapshot,
    State,
};

pub(crate) const NOW: Millis = Millis(50_000);

/// An idle endpoint with half of its KV cache in use.
pub(crate) fn endpoint(number: u64) -> EndpointLoad {
    EndpointLoad {
        id: EndpointId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        state: State::Ready,
        wait_s: Some(0.0),
        waiting: Some(0),
        running: Some(0),
        kv_used: Some(0.5),
        prefill_tokens_per_s: Some(10_000.0),
        decode_s_per_sequence: Some(0.0),
        speed: Some(1.0),
        adapters: None,
        adapter_room: None,
        age_ms: 0,
        ..EndpointLoad::default()
    }
}

pub(crate) fn pool(size: u64) -> Vec<EndpointLoad> {
    (0..size).map(endpoint).collect()
}

pub(crate) fn show<P: Policy>(picker: &mut Picker<P>, rows: &[EndpointLoad], at: Millis) {
    let snapshot = Snapshot::new(rows.to_vec(), PoolFacts::default(), at);
    picker.on_table(Rc::new(snapshot), None);
}

/// A picker with a table that has just come.
pub(crate) fn picker<P: Policy>(policy: P, rows: &[EndpointLoad]) -> Picker<P> {
    let mut picker = Picker::with_policy(policy);
    show(&mut picker, rows, NOW);
    picker
}

pub(crate) fn prompt(tokens: u32) -> Request {
    Request {
        prompt_tokens: Some(tokens),
        ..Request::default()
    }
}

pub(crate) fn first(decision: &Decision) -> usize {
    decision.choices.as_slice()[0] as usize
}

/// How often each of the rows is the first choice in `runs` decisions.
pub(crate) fn shares<P: Policy>(picker: &mut Picker<P>, request: &Request, runs: u32) -> Vec<f64> {
    let mut shares: Vec<f64> = vec![0.0; picker.snapshot().unwrap().endpoints().len()];
    let mut rng = Rng::new(11);
    for _ in 0..runs {
        shares[first(&picker.choose(NOW, &mut rng, request))] += 1.0;
    }
    shares.iter().map(|count| count / f64::from(runs)).collect()
}

pub(crate) fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    let far = |(found, expected): (&f64, &f64)| (found - expected).abs() > tolerance;
    assert!(
        !found.iter().zip(expected).any(far),
        "{found:?} is not {expected:?}"
    );
}
