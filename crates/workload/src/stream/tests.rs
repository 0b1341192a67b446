use super::*;
use crate::{Adapters, Demand, Dist, FAMILIES, Role, SystemPrompts, Turn};

const RATE: Arrivals = Arrivals::Poisson {
    sessions_per_s: 10.0,
};

fn turns(workload: &Workload, seed: u64, sessions: usize) -> Vec<Vec<Turn>> {
    workload
        .stream(seed)
        .unwrap()
        .take(sessions)
        .map(Iterator::collect)
        .collect()
}

#[test]
fn every_family_is_there_and_draws_the_same_for_a_seed() {
    for (name, _) in FAMILIES {
        let workload = Workload::preset(name, RATE).unwrap();
        assert_eq!(turns(&workload, 1, 50), turns(&workload, 1, 50), "{name}");
        assert_ne!(turns(&workload, 1, 50), turns(&workload, 2, 50), "{name}");
    }
    assert_eq!(Workload::preset("nope", RATE), None);
}

#[test]
fn a_session_does_not_depend_on_when_its_turns_are_drawn() {
    let workload = Workload::preset("agent", RATE).unwrap();
    let in_order = turns(&workload, 3, 20);
    let mut sessions: Vec<Session> = workload.stream(3).unwrap().take(20).collect();
    let mut interleaved = vec![Vec::new(); 20];
    let longest = in_order.iter().map(Vec::len).max().unwrap();
    for _ in 0..longest {
        for (session, seen) in sessions.iter_mut().zip(&mut interleaved).rev() {
            seen.extend(session.next());
        }
    }
    assert_eq!(in_order, interleaved);
}

#[test]
fn a_later_turn_repeats_everything_said_before() {
    let workload = Workload::preset("multi", RATE).unwrap();
    for session in turns(&workload, 4, 100) {
        for pair in session.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            let repeated = before.prompt.parts.len();
            assert_eq!(after.prompt.parts[..repeated], before.prompt.parts);
            assert_eq!(after.prompt.parts[repeated].segment, before.answer);
            assert_eq!(after.prompt.parts[repeated].role, Role::Assistant);
            assert!(after.think_s > 0.0 && before.adapter == after.adapter);
        }
    }
}

#[test]
fn groups_share_their_system_prompt_and_nothing_else() {
    let workload = Workload::preset("sysg50", RATE).unwrap();
    let all = turns(&workload, 5, 500);
    let mut systems: Vec<_> = all
        .iter()
        .map(|session| session[0].prompt.parts[0].segment)
        .collect();
    systems.sort_unstable_by_key(|segment| segment.id);
    systems.dedup();
    assert!((30..=50).contains(&systems.len()), "{}", systems.len());
    assert!(
        systems.windows(2).all(|pair| pair[0].id != pair[1].id),
        "one group has one length"
    );
    let mut questions: Vec<_> = all
        .iter()
        .map(|session| session[0].prompt.parts[1].segment.id)
        .collect();
    questions.sort_unstable();
    questions.dedup();
    assert_eq!(questions.len(), 500);
}

#[test]
fn measured_demand_matches_the_closed_form() {
    let shape = Shape {
        system: Some(SystemPrompts {
            groups: 4,
            zipf: 0.0,
            tokens: Dist::Constant(1_600.0),
        }),
        first_input_tokens: Dist::Constant(160.0),
        later_input_tokens: Dist::Constant(80.0),
        output_tokens: Dist::Constant(80.0),
        turns: Dist::Constant(3.0),
        ..Shape::default()
    };
    let mix = vec![Component {
        name: "a".into(),
        weight: 1.0,
        shape,
    }];
    let workload = Workload {
        arrivals: RATE,
        mix,
        limits: Limits::default(),
    };
    let demand = Demand::measure(workload.stream(6).unwrap(), 200);
    assert_eq!(
        (
            demand.requests,
            demand.requests_per_session,
            demand.output_tokens
        ),
        (600, 3.0, 80.0)
    );
    // Prompts have 1,760, 1,920 and 2,080 tokens. With a warm cache the question is new in the
    // first one. In later ones the input and the previous answer are new, because this cache only
    // learns from prompts.
    assert_eq!(demand.prompt_tokens, 1_920.0);
    assert_eq!(demand.uncached_tokens, 160.0);
    assert_eq!(demand.context_tokens, 1_960.0);
}

#[test]
fn weights_are_shares_of_sessions() {
    let workload = Workload::preset("longmix", RATE).unwrap();
    let long = workload
        .stream(7)
        .unwrap()
        .take(10_000)
        .filter(|session| &**session.family() == "long")
        .count();
    assert!((1_850..2_150).contains(&long), "{long}");
}

#[test]
fn a_context_window_ends_sessions_and_shortens_first_inputs() {
    let mut workload = Workload::preset("agent", RATE).unwrap();
    workload.limits.context_tokens = 5_000;
    for session in turns(&workload, 8, 300) {
        assert!(!session.is_empty());
        assert!(
            session
                .iter()
                .all(|turn| turn.prompt.tokens() + turn.answer.tokens <= 5_000)
        );
    }
}

#[test]
fn adapters_stay_with_their_session_and_keep_their_share() {
    let shape = Shape {
        adapters: Some(Adapters {
            count: 2,
            zipf: 0.0,
            share: 0.4,
        }),
        turns: Dist::Constant(2.0),
        ..Shape::default()
    };
    let mix = vec![Component {
        name: "a".into(),
        weight: 1.0,
        shape,
    }];
    let workload = Workload {
        arrivals: RATE,
        mix,
        limits: Limits::default(),
    };
    let all = turns(&workload, 9, 5_000);
    assert!(
        all.iter()
            .all(|session| session[0].adapter == session[1].adapter)
    );
    let count = |which| {
        all.iter()
            .filter(|session| session[0].adapter == which)
            .count()
    };
    for (which, expected) in [(None, 3_000), (Some(0), 1_000), (Some(1), 1_000)] {
        assert!(
            count(which).abs_diff(expected) < 200,
            "{which:?}: {}",
            count(which)
        );
    }
}

#[test]
fn every_problem_is_reported_at_once() {
    let shape = Shape {
        turns: Dist::Geometric { mean: 0.0 },
        adapters: Some(Adapters {
            count: 0,
            zipf: 1.0,
            share: 2.0,
        }),
        later_role: Role::Assistant,
        ..Shape::default()
    };
    let mix = vec![Component {
        name: "a".into(),
        weight: -1.0,
        shape,
    }];
    let workload = Workload {
        arrivals: RATE.at_rate(0.0),
        mix,
        limits: Limits { context_tokens: 1 },
    };
    let text = workload.stream(1).unwrap_err().to_string();
    for field in [
        "sessions_per_s",
        "context_tokens",
        "mix.a.weight",
        "mix.a.turns",
        "adapters.count",
        "adapters.share",
        "later_role",
    ] {
        assert!(text.contains(field), "{field} is missing in: {text}");
    }
}

#[test]
fn a_shape_reads_from_a_scenario_and_refuses_unknown_keys() {
    let shape: Shape =
        serde_json::from_str(r#"{"turns": {"geometric": {"mean": 5.5}}, "later_role": "tool"}"#)
            .unwrap();
    assert_eq!(
        (shape.turns, shape.later_role),
        (Dist::Geometric { mean: 5.5 }, Role::Tool)
    );
    assert!(serde_json::from_str::<Shape>(r#"{"turnz": {"constant": 1}}"#).is_err());
}
