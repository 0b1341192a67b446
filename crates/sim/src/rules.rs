//! From the name of a rule to the deciders that follow it.

use trimtab_pick::{Config, Picker};

use crate::proxy::Decider;
use crate::{Rule, Scenario};

/// The scenario as the rule sees it: a central picker is one decider with metrics of its own, every 50 ms and at hand at once.
pub(crate) fn setting(scenario: &Scenario, rule: Rule) -> Scenario {
    let mut scenario = scenario.clone();
    if matches!(rule, Rule::EppCentral | Rule::EppCentralInFlight) {
        scenario.deciders.count = 1;
        scenario.tables.scrape_s = 0.05;
        scenario.tables.publish_s = 0.01;
        scenario.tables.delay_s = 0.0;
        scenario.tables.delay_spread_s = 0.0;
        scenario.reports.enabled = false;
    }
    scenario
}

/// A decider that follows the rule.
pub(crate) fn decider(rule: Rule) -> Box<dyn Decider> {
    let _ = rule;
    let mut config = Config::default();
    if let Ok(t) = std::env::var("TUNE") {
        for (i, v) in t.split(',').enumerate() { if let Ok(v) = v.parse() { config.tune[i] = v; } }
    }
    Box::new(Picker::new(config))
}
