//! Draws results as pictures.

use trimtab_sim::report::{Digest, Summary, summaries};
use trimtab_sim::{Rule, Scenario, percentile};

use crate::plot::{Curve, Line, Point, cumulative, sweep};

/// Returns file names and pictures of one scenario's results: the distribution of the time to first
/// token at each load, and a sweep if there are several loads.
pub(super) fn of(scenario: &Scenario, digests: &[Digest]) -> Vec<(String, String)> {
    let name = &scenario.name;
    let mut pictures: Vec<_> = scenario
        .loads
        .iter()
        .map(|load| {
            let file = match scenario.loads.len() {
                1 => format!("{name}.svg"),
                _ => format!("{name}-{load}.svg"),
            };
            (file, distribution(scenario, digests, *load))
        })
        .collect();
    if scenario.loads.len() > 1 {
        let file = format!("{name}-sweep.svg");
        pictures.push((file, over_loads(scenario, digests)));
    }
    pictures
}

fn subtitle(scenario: &Scenario) -> String {
    let endpoints: u32 = scenario.fleet.iter().map(|group| group.count).sum();
    format!(
        "simulated: {endpoints} endpoints, {} deciders, {} seed(s) of {:.0} s",
        scenario.deciders.count,
        scenario.seeds.len(),
        scenario.measured_s
    )
}

fn distribution(scenario: &Scenario, digests: &[Digest], load: f64) -> String {
    let pooled = |rule: Rule| {
        let of_rule = digests
            .iter()
            .filter(|digest| digest.rule == rule && digest.load == load);
        let mut values: Vec<f32> = of_rule
            .flat_map(|digest| digest.ttft_curve_s.iter().copied())
            .collect();
        values.sort_unstable_by(f32::total_cmp);
        values
    };
    let values: Vec<(Rule, Vec<f32>, Vec<f64>)> = scenario
        .rules
        .iter()
        .map(|&rule| {
            let single = pooled(rule);
            let double = single.iter().copied().map(f64::from).collect();
            (rule, single, double)
        })
        .collect();
    let curves: Vec<Curve<'_>> = values
        .iter()
        .map(|(rule, single, double)| Curve {
            name: rule.as_str(),
            style: style(*rule),
            sorted_s: double,
            p50_s: percentile(single, 0.5),
            p99_s: percentile(single, 0.99),
        })
        .collect();
    let title = format!("Time to first token: {}, load {load}", scenario.name);
    cumulative(&title, &subtitle(scenario), &curves)
}

fn over_loads(scenario: &Scenario, digests: &[Digest]) -> String {
    let cells = summaries(digests);
    let lines: Vec<Line<'_>> = scenario
        .rules
        .iter()
        .map(|&rule| {
            let of_rule = cells.iter().filter(|cell| cell.rule == rule);
            let mut points: Vec<Point> = of_rule.filter_map(point).collect();
            points.sort_by(|a, b| a.load.total_cmp(&b.load));
            Line {
                name: rule.as_str(),
                style: style(rule),
                points,
            }
        })
        .collect();
    let title = format!("Results by load: {}", scenario.name);
    sweep(&title, &subtitle(scenario), &lines)
}

fn point(cell: &Summary) -> Option<Point> {
    let [_, _, p99] = cell.ttft_s;
    Some(Point {
        load: cell.load,
        slo_share: cell.slo_share?.mean,
        p99_s: p99?.mean,
    })
}

/// Returns a rule's style, the same in every picture.
fn style(rule: Rule) -> usize {
    match rule {
        Rule::Trimtab => 0,
        Rule::LeastRequest => 1,
        Rule::RoundRobin => 2,
        Rule::Oracle => 3,
        Rule::EppCentralInFlight => 5,
        Rule::EppCentral => 6,
        Rule::EppEach => 7,
        Rule::Random => 8,
        Rule::PowerOfTwo => 4,
    }
}
