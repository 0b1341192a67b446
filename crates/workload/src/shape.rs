//! The parameters of one kind of traffic.

use serde::Deserialize;

use crate::{Dist, Role};

/// The sessions of one kind of traffic. A chat with a single request is a session of one turn.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shape {
    /// Instructions that sessions share. `None` means no instructions.
    pub system: Option<SystemPrompts>,
    /// Tokens of the first input.
    pub first_input_tokens: Dist,
    /// Tokens of each later input.
    pub later_input_tokens: Dist,
    /// The speaker of later inputs: `user` in a conversation, `tool` with an agent.
    pub later_role: Role,
    /// Tokens of each answer.
    pub output_tokens: Dist,
    /// Requests of one session.
    pub turns: Dist,
    /// Seconds between the end of an answer and the next request.
    pub think_s: Dist,
    /// Adapters that sessions ask for. `None` means the base model.
    pub adapters: Option<Adapters>,
}

/// Groups of sessions that begin with the same text. Group `i` is chosen with weight
/// `1 / (i + 1)^zipf`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemPrompts {
    /// Number of groups, at least 1.
    pub groups: u32,
    /// Exponent of the popularity. 0 makes all groups equally popular.
    pub zipf: f64,
    /// Length of the text, drawn once per group.
    pub tokens: Dist,
}

/// LoRA adapters, chosen per session with weight `1 / (i + 1)^zipf`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adapters {
    /// Number of adapters, at least 1.
    pub count: u32,
    /// Exponent of the popularity. 0 makes all adapters equally popular.
    pub zipf: f64,
    /// Share of the sessions that ask for an adapter, 0 to 1.
    pub share: f64,
}

/// Largest number of groups or adapters. More would be a mistake, and would need large tables.
const MOST_CHOICES: u32 = 1_000_000;

impl Default for Shape {
    /// Returns chats of one request each. The median prompt has 130 tokens, the median answer 160.
    fn default() -> Self {
        Self {
            system: None,
            first_input_tokens: Dist::LogNormal {
                median: 130.0,
                sigma: 1.1,
                max: 8_000.0,
            },
            later_input_tokens: Dist::LogNormal {
                median: 80.0,
                sigma: 0.8,
                max: 2_000.0,
            },
            later_role: Role::User,
            output_tokens: Dist::LogNormal {
                median: 160.0,
                sigma: 0.9,
                max: 2_000.0,
            },
            turns: Dist::Constant(1.0),
            think_s: Dist::Exponential { mean: 5.0 },
            adapters: None,
        }
    }
}

impl Shape {
    /// Returns all problems, each with the name of its field.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut dist = |name: &str, dist: &Dist| {
            problems.extend(dist.problem().map(|text| format!("{name}: {text}")))
        };
        dist("first_input_tokens", &self.first_input_tokens);
        dist("later_input_tokens", &self.later_input_tokens);
        dist("output_tokens", &self.output_tokens);
        dist("turns", &self.turns);
        dist("think_s", &self.think_s);
        if let Some(system) = &self.system {
            dist("system.tokens", &system.tokens);
            problems.extend(popularity_problem(
                "system",
                "groups",
                system.groups,
                system.zipf,
            ));
        }
        if let Some(adapters) = &self.adapters {
            problems.extend(popularity_problem(
                "adapters",
                "count",
                adapters.count,
                adapters.zipf,
            ));
            if !(0.0..=1.0).contains(&adapters.share) {
                problems.push(format!(
                    "adapters.share: {} is not a share: give a number from 0 to 1",
                    adapters.share
                ));
            }
        }
        if !matches!(self.later_role, Role::User | Role::Tool) {
            problems.push(format!(
                "later_role: {:?} cannot ask: use user or tool",
                self.later_role.as_str()
            ));
        }
        problems
    }
}

fn popularity_problem(section: &str, field: &str, count: u32, zipf: f64) -> Option<String> {
    if !(1..=MOST_CHOICES).contains(&count) {
        return Some(format!(
            "{section}.{field}: {count}: give a number from 1 to {MOST_CHOICES}"
        ));
    }
    (!(0.0..=10.0).contains(&zipf))
        .then(|| format!("{section}.zipf: {zipf}: give an exponent from 0 to 10"))
}
