//! What holds for each decision, under any rule.

use std::rc::Rc;

use proptest::prelude::*;
use trimtab_pick::{
    Decision, EndpointLoad, Millis, Picker, Policy, PoolFacts, Reason, Request, Rng, Snapshot,
    State,
};

/// Runs a new picker over one table. Checks each decision, sends each request where it says, and
/// returns the decisions.
pub(crate) fn decide<P: Policy>(
    mut picker: Picker<P>,
    endpoints: &[EndpointLoad],
    facts: PoolFacts,
    requests: &[Request],
    (now, arrived, seed): (Millis, Millis, u64),
) -> Result<Vec<Decision>, TestCaseError> {
    let snapshot = Snapshot::new(endpoints.to_vec(), facts, arrived);
    picker.on_table(Rc::new(snapshot), None);
    let mut rng = Rng::new(seed);
    let mut decisions = Vec::new();
    for request in requests {
        let decision = picker.choose(now, &mut rng, request);
        check(&decision, endpoints)?;
        if let Some(index) = decision.choices.as_slice().first() {
            let ticket = picker.on_sent(now, endpoints[*index as usize].id, &decision.booking);
            picker.on_done(ticket);
        }
        decisions.push(decision);
    }
    Ok(decisions)
}

/// Ready endpoints may be chosen. Suspect ones may too where they are more than the ready ones.
pub(crate) fn may_be_chosen(endpoint: &EndpointLoad, endpoints: &[EndpointLoad]) -> bool {
    let count = |state| endpoints.iter().filter(|e| e.state == state).count();
    match endpoint.state {
        State::Ready => true,
        State::Suspect => count(State::Suspect) > count(State::Ready),
        State::Draining | State::NoPrompts => false,
    }
}

pub(crate) fn check(decision: &Decision, endpoints: &[EndpointLoad]) -> Result<(), TestCaseError> {
    let choosable = endpoints
        .iter()
        .filter(|e| may_be_chosen(e, endpoints))
        .count();
    let choices = decision.choices.as_slice();
    prop_assert_eq!(
        choices.len(),
        choosable.min(3),
        "as many as there are, at most three"
    );
    prop_assert_eq!(choices.is_empty(), decision.reason == Reason::NoEndpoints);
    for (at, index) in choices.iter().enumerate() {
        prop_assert!(may_be_chosen(&endpoints[*index as usize], endpoints));
        prop_assert!(!choices[..at].contains(index), "{:?}", choices);
    }
    let wait_s = decision.wait_s.unwrap_or(0.0);
    prop_assert!(wait_s.is_finite() && wait_s >= 0.0, "{}", wait_s);
    Ok(())
}
