//! Makes the deciders that follow a rule.

use trimtab_baselines::{Epp, LeastRequest, PowerOfTwo, PromptBlocks, Random, RoundRobin};
use trimtab_pick::{Config, Picker, Policy};
use trimtab_report::Books;

use crate::decider::Decider;
use crate::{Rule, Scenario};

/// Returns the scenario as the rule needs it. A central rule has a single decider with metrics
/// every 50 ms, which reach it without delay.
pub(crate) fn setting(scenario: &Scenario, rule: Rule) -> Scenario {
    let mut scenario = scenario.clone();
    if matches!(rule, Rule::EppCentral | Rule::EppCentralInFlight) {
        scenario.deciders.count = 1;
        scenario.deciders.workers = 1;
        scenario.tables.scrape_s = 0.05;
        scenario.tables.publish_s = 0.01;
        scenario.tables.delay_s = 0.0;
        scenario.tables.delay_spread_s = 0.0;
        scenario.reports.enabled = false;
    }
    scenario
}

/// Returns what a central picker reads of each prompt in addition to the request. A request holds
/// only what a filter can know. Returns `None` for a rule that uses the request alone.
pub(crate) fn blocks(scenario: &Scenario, rule: Rule) -> Option<PromptBlocks> {
    let is_central = matches!(rule, Rule::EppCentral | Rule::EppCentralInFlight);
    is_central.then(|| PromptBlocks::new(scenario.central.block_tokens))
}

/// Makes a decider that follows the rule. `blocks` is the result of [`blocks`].
pub(crate) fn decider(rule: Rule, blocks: Option<PromptBlocks>) -> Box<dyn Decider> {
    let epp = |count_in_flight| match blocks {
        Some(blocks) => Epp::with_blocks(count_in_flight, blocks),
        None => Epp::new(count_in_flight),
    };
    match rule {
        // The oracle decides by itself and never asks its proxies.
        Rule::Oracle | Rule::Trimtab => Box::new(Books::new(Picker::new(Config::default()))),
        Rule::RoundRobin => books(RoundRobin::default()),
        Rule::Random => books(Random),
        Rule::LeastRequest => books(LeastRequest),
        Rule::PowerOfTwo => books(PowerOfTwo),
        Rule::EppCentral | Rule::EppEach => books(epp(false)),
        Rule::EppCentralInFlight => books(epp(true)),
    }
}

fn books(policy: impl Policy + 'static) -> Box<dyn Decider> {
    Box::new(Books::new(Picker::with_policy(policy)))
}
