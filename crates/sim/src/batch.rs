//! Lists the runs of a scenario, in the order of its results.

use crate::{Rule, Scenario, capacity};

/// One run to make.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Job {
    /// The rule that chooses.
    pub rule: Rule,
    /// Offered load, as a share of capacity.
    pub load: f64,
    /// Seed of the workload and of the decisions.
    pub seed: u64,
    /// Expected requests, including the warm-up. Shows how long the run takes, relative to others.
    pub requests: f64,
}

/// Shortens a scenario: the first two seeds, and a third of the measured time. Shows whether the
/// scenario works, not how well.
pub fn shorten(scenario: &mut Scenario) {
    scenario.seeds.truncate(2);
    scenario.measured_s /= 3.0;
}

/// Returns every run of the scenario: by load, then by rule, then by seed, each in the order of the
/// scenario.
#[must_use]
pub fn jobs(scenario: &Scenario) -> Vec<Job> {
    let per_load =
        capacity::fleet_requests_per_s(scenario) * (scenario.warm_up_s + scenario.measured_s);
    let mut jobs = Vec::new();
    for &load in &scenario.loads {
        for &rule in &scenario.rules {
            jobs.extend(scenario.seeds.iter().map(|&seed| Job {
                rule,
                load,
                seed,
                requests: load * per_load,
            }));
        }
    }
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::Draft;

    #[test]
    fn every_combination_is_there_once_in_a_fixed_order() {
        let text = "name = 'a'\nloads = [0.5, 0.9]\nseeds = [3, 1]\nrules = ['power_of_two']\n\
            warm_up_s = 10\nmeasured_s = 90\n[workload]\nfamily = 'chat'\ncapacity_per_endpoint = 10\n\
            [[fleet]]\ncount = 4\n";
        let document = Draft::parse(text)
            .unwrap()
            .check(&mut |_| Err(String::new()))
            .unwrap();
        let jobs = jobs(&document.scenario);
        let order: Vec<_> = jobs
            .iter()
            .map(|job| (job.load, job.rule.as_str(), job.seed))
            .collect();
        let expected = [
            (0.5, "oracle", 3),
            (0.5, "oracle", 1),
            (0.5, "power_of_two", 3),
            (0.5, "power_of_two", 1),
            (0.9, "oracle", 3),
            (0.9, "oracle", 1),
            (0.9, "power_of_two", 3),
            (0.9, "power_of_two", 1),
        ];
        assert_eq!(order, expected);
        assert!((jobs[0].requests - 0.5 * 40.0 * 100.0).abs() < 1e-6);
    }
}
