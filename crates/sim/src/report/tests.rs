use super::*;

/// Returns a run whose times to first token are 0.01, 0.02 and so on up to `slowest_s`.
fn run(rule: Rule, load: f64, seed: u64, slowest_s: f64) -> Run {
    let count = (slowest_s * 100.0).round() as u32;
    Run {
        scenario: "test".to_owned(),
        rule,
        seed,
        deciders: 100,
        load,
        requests: u64::from(count),
        failed: 0,
        ttft_s: (1..=count).map(|n| n as f32 / 100.0).collect(),
        tpot_s: vec![0.02, 0.03],
        e2e_s: (1..=count).map(|n| n as f32 / 50.0).collect(),
        slo_share: 0.9,
        hit_ratio: 0.5,
        per_endpoint: vec![10, 30],
        after_drain: 0,
        prediction: Prediction::default(),
        traffic: TrafficCounts {
            tables_per_s: 20.0,
            ..TrafficCounts::default()
        },
    }
}

fn digests(runs: &[Run]) -> Vec<Digest> {
    runs.iter().map(Digest::of).collect()
}

/// Returns two seeds of two rules. The oracle's p99 is 0.99 and 1.98, the other's 1.98 and 3.96.
fn four() -> Vec<Digest> {
    digests(&[
        run(Rule::Oracle, 0.8, 1, 1.0),
        run(Rule::Oracle, 0.8, 2, 2.0),
        run(Rule::PowerOfTwo, 0.8, 1, 2.0),
        run(Rule::PowerOfTwo, 0.8, 2, 4.0),
    ])
}

fn near(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-6
}

#[test]
fn means_deviations_and_ratios_are_those_of_the_textbook() {
    let cells = summaries(&four());
    let rules: Vec<Rule> = cells.iter().map(|cell| cell.rule).collect();
    assert_eq!(rules, [Rule::Oracle, Rule::PowerOfTwo]);
    let p99 = cells[1].ttft_s[2].unwrap();
    assert!(near(p99.mean, 2.97), "{p99:?}");
    // Two values that differ by 1.98 have the deviation 1.98 / sqrt(2).
    assert!(near(p99.sd, 1.98 / 2_f64.sqrt()), "{p99:?}");
    assert!(near(cells[1].p99_ratio.unwrap(), 2.0));
    assert!(near(cells[0].p99_ratio.unwrap(), 1.0));
    assert!(near(cells[0].busiest_ratio.unwrap().mean, 1.5));
}

#[test]
fn loads_are_not_mixed_and_no_oracle_is_no_ratio() {
    let cells = summaries(&digests(&[
        run(Rule::Oracle, 0.5, 1, 1.0),
        run(Rule::PowerOfTwo, 0.9, 1, 3.0),
        run(Rule::PowerOfTwo, 0.5, 1, 2.0),
    ]));
    let found: Vec<_> = cells
        .iter()
        .map(|cell| {
            (
                cell.rule,
                cell.load,
                cell.p99_ratio.map(|ratio| ratio.round()),
            )
        })
        .collect();
    let expected = [
        (Rule::Oracle, 0.5, Some(1.0)),
        (Rule::PowerOfTwo, 0.9, None),
        (Rule::PowerOfTwo, 0.5, Some(2.0)),
    ];
    assert_eq!(found, expected);
}

#[test]
fn requests_that_never_started_are_never_and_not_a_number() {
    let mut lost = run(Rule::PowerOfTwo, 0.8, 1, 1.0);
    lost.ttft_s.extend([f32::INFINITY; 50]);
    let oracle = run(Rule::Oracle, 0.8, 1, 1.0);
    let digests = digests(&[oracle, lost]);
    let shown = table(&digests);
    assert!(shown.contains("never"), "{shown}");
    let value: serde_json::Value = serde_json::from_str(&json(&digests)).unwrap();
    assert!(value["runs"][1]["ttft_s"]["p99"].is_null());
    assert_eq!(value["runs"][1]["ttft_s"]["p50"], 0.75);
    assert!(csv(&digests).contains(",inf,"));
}

#[test]
fn the_curve_keeps_the_percentiles_of_many_requests() {
    let many = run(Rule::PowerOfTwo, 0.8, 1, 123.45);
    let thin = Digest::of(&many);
    assert_eq!(thin.ttft_curve_s.len(), 2_000);
    for share in [0.5, 0.9, 0.99, 1.0] {
        assert_eq!(
            percentile(&thin.ttft_curve_s, share),
            percentile(&many.ttft_s, share)
        );
    }
}

#[test]
fn json_has_the_keys_that_others_read() {
    let value: serde_json::Value = serde_json::from_str(&json(&four())).unwrap();
    let runs = value["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 4);
    let second = &runs[2];
    assert_eq!(second["scenario"], "test");
    assert_eq!(second["policy"], "power_of_two");
    assert_eq!(
        (&second["seed"], &second["deciders"]),
        (&1.into(), &100.into())
    );
    assert_eq!(second["load"], 0.8);
    assert_eq!(second["ttft_s"]["p99"], 1.98);
    assert_eq!(second["tpot_s"]["p50"], 0.02);
    assert_eq!(
        (&second["slo_share"], &second["hit_ratio"]),
        (&0.9.into(), &0.5.into())
    );
    assert_eq!(second["requests"], 200);
}

#[test]
fn every_row_of_the_csv_has_every_column() {
    let text = csv(&four());
    let columns = |line: &str| line.split(',').count();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5);
    assert!(lines.iter().all(|line| columns(line) == columns(lines[0])));
    assert!(
        lines[3].starts_with("test,power_of_two,0.8,1,100,200,0,1,1.8,1.98,0.02,"),
        "{}",
        lines[3]
    );
}

#[test]
fn the_table_names_what_it_shows() {
    let shown = table(&four());
    assert!(
        shown.contains("test, load 0.8, 100 deciders, 100 requests per run, 2 seed(s)"),
        "{shown}"
    );
    let line = shown
        .lines()
        .find(|line| line.starts_with("power_of_two"))
        .unwrap();
    assert!(
        line.contains("2.97±1.40") && line.contains("2.00"),
        "{line}"
    );
}

#[test]
fn bands_are_held_missed_or_not_run() {
    let band = |rule| Band {
        rule,
        p99_ratio_max: Some(1.9),
        p99_max_s: None,
        slo_share_min: Some(0.88),
        hit_ratio_min: None,
        after_drain_max: None,
    };
    let told = |slack| {
        let findings = verdicts(
            &[band(Rule::PowerOfTwo), band(Rule::Random)],
            &four(),
            slack,
        );
        findings
            .into_iter()
            .map(|finding| finding.verdict)
            .collect::<Vec<_>>()
    };
    assert_eq!(told(0.0), [Verdict::Missed, Verdict::Held, Verdict::NotRun]);
    // 1.9 x 1.1 is more than 2.
    assert_eq!(told(0.1), [Verdict::Held, Verdict::Held, Verdict::NotRun]);
    let shown = verdicts(&[band(Rule::PowerOfTwo)], &four(), 0.0)[0].to_string();
    assert_eq!(
        shown,
        "BAND MISSED: power_of_two at load 0.8: p99 TTFT is 2.970 s, 2.00 x the oracle's, at most 1.90 x"
    );
}

#[test]
fn requests_after_drain_are_counted_whatever_the_slack() {
    let band = |most| Band {
        rule: Rule::PowerOfTwo,
        p99_ratio_max: None,
        p99_max_s: None,
        slo_share_min: None,
        hit_ratio_min: None,
        after_drain_max: Some(most),
    };
    let mut late = run(Rule::PowerOfTwo, 0.8, 1, 1.0);
    late.after_drain = 3;
    let digests = digests(&[late]);
    let told = |most| verdicts(&[band(most)], &digests, 1.0)[0].verdict;
    assert_eq!((told(2.0), told(3.0)), (Verdict::Missed, Verdict::Held));
    assert!(table(&digests).contains("3 requests went after drain"));
    assert!(csv(&digests).lines().nth(1).unwrap().ends_with(",3,,,"));
}

#[test]
fn a_figure_that_is_missing_misses_its_band() {
    let empty = run(Rule::PowerOfTwo, 0.8, 1, 0.0);
    let band = Band {
        rule: Rule::PowerOfTwo,
        p99_ratio_max: Some(1e6),
        p99_max_s: Some(1e6),
        slo_share_min: None,
        hit_ratio_min: None,
        after_drain_max: None,
    };
    let findings = verdicts(&[band], &digests(&[empty]), 0.0);
    assert_eq!(findings.len(), 2);
    assert!(
        findings
            .iter()
            .all(|finding| finding.verdict == Verdict::Missed)
    );
}
