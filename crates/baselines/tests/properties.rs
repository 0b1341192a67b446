//! What holds for any pool and any request, under each rule.

use proptest::collection::vec;
use proptest::prelude::*;
use trimtab_baselines::{Epp, LeastRequest, PowerOfTwo, Random, RoundRobin};
use trimtab_pick::{Millis, Picker};

use values::{endpoint, pool_facts, request};
use well_formed::decide;

#[path = "../../pick/tests/properties/values.rs"]
#[allow(dead_code, reason = "outcomes are of no interest to these rules")]
mod values;
#[path = "../../pick/tests/properties/well_formed.rs"]
mod well_formed;

proptest! {
    #[test]
    fn any_decision_of_a_baseline_is_well_formed_and_the_same_for_the_same_seed(
        endpoints in vec(endpoint(), 0..30), facts in pool_facts(), requests in vec(request(), 1..20),
        at in (any::<u64>(), any::<u64>(), any::<u64>()), count_in_flight in any::<bool>(),
    ) {
        let at = (Millis(at.0), Millis(at.1), at.2);
        macro_rules! twice {
            ($($rule:expr),*) => {$(
                let run = || decide(Picker::with_policy($rule), &endpoints, facts, &requests, at);
                prop_assert_eq!(run()?, run()?);
            )*};
        }
        twice!(
            RoundRobin::default(), Random, LeastRequest, PowerOfTwo, Epp::new(count_in_flight)
        );
    }
}
