//! A mix of session kinds with an arrival process.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use crate::arrivals::Clock;
use crate::rng::{Zipf, mix};
use crate::{Arrivals, Limits, Rng, Session, Shape};

/// A workload: what arrives and how often.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// When sessions start.
    pub arrivals: Arrivals,
    /// Kinds of sessions, at least one.
    pub mix: Vec<Component>,
    /// The limits of prompts.
    pub limits: Limits,
}

/// One kind of sessions in a mix.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Name in reports. Components with different names share no text.
    pub name: String,
    /// Weight among the *sessions* that start, above 0. A session of many turns makes many
    /// requests.
    pub weight: f64,
    /// The sessions of this kind.
    #[serde(default)]
    pub shape: Shape,
}

/// All problems of a workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Invalid {
    /// One line per problem: the field, its value, and what to write instead.
    pub problems: Vec<String>,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the workload has {} problem(s): {}",
            self.problems.len(),
            self.problems.join("; ")
        )
    }
}

/// A component from which sessions can be drawn.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    pub(crate) family: Arc<str>,
    pub(crate) shape: Arc<Shape>,
    /// The identities of the component's shared texts are derived from this.
    pub(crate) seed: u64,
    pub(crate) groups: Option<Zipf>,
    pub(crate) adapters: Option<Zipf>,
    cumulative_weight: f64,
}

/// An endless iterator of sessions in order of their start.
#[derive(Debug, Clone)]
pub struct Stream {
    seed: u64,
    next_index: u64,
    clock: Clock,
    kinds: Vec<Kind>,
    limits: Limits,
}

impl Workload {
    /// Returns the workload's sessions for one seed.
    ///
    /// # Errors
    /// Returns all invalid parameters at once.
    pub fn stream(&self, seed: u64) -> Result<Stream, Invalid> {
        let problems = self.problems();
        if !problems.is_empty() {
            return Err(Invalid { problems });
        }
        let mut cumulative_weight = 0.0;
        let kinds = self.mix.iter().map(|component| {
            cumulative_weight += component.weight;
            let name = component
                .name
                .bytes()
                .fold(0, |hash, byte| mix(hash, u64::from(byte)));
            Kind {
                family: component.name.as_str().into(),
                shape: Arc::new(component.shape.clone()),
                seed: mix(seed, name),
                groups: component
                    .shape
                    .system
                    .as_ref()
                    .map(|s| Zipf::new(s.groups, s.zipf)),
                adapters: component
                    .shape
                    .adapters
                    .as_ref()
                    .map(|a| Zipf::new(a.count, a.zipf)),
                cumulative_weight,
            }
        });
        let clock = Clock::new(self.arrivals, Rng::derive(seed, 0x61_7272));
        Ok(Stream {
            seed: mix(seed, 0x73_6573),
            next_index: 0,
            clock,
            kinds: kinds.collect(),
            limits: self.limits,
        })
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = self.arrivals.problems();
        if self.mix.is_empty() {
            problems.push("mix: is empty: name at least one component".to_owned());
        }
        if self.limits.context_tokens < 2 {
            problems.push(format!(
                "limits.context_tokens: {}: give at least 2",
                self.limits.context_tokens
            ));
        }
        for component in &self.mix {
            let name = &component.name;
            if !(component.weight > 0.0 && component.weight <= 1e9) {
                problems.push(format!(
                    "mix.{name}.weight: {}: give a number above 0",
                    component.weight
                ));
            }
            problems.extend(
                component
                    .shape
                    .problems()
                    .into_iter()
                    .map(|text| format!("mix.{name}.{text}")),
            );
        }
        problems
    }
}

impl Iterator for Stream {
    type Item = Session;

    fn next(&mut self) -> Option<Session> {
        let index = self.next_index;
        self.next_index += 1;
        let start_s = self.clock.next_s();
        let total = self.kinds.last()?.cumulative_weight;
        let point = Rng::derive(self.seed, index).unit() * total;
        let kind = self
            .kinds
            .iter()
            .find(|kind| point <= kind.cumulative_weight)
            .or_else(|| self.kinds.last())?;
        Some(Session::drawn(index, start_s, self.seed, kind, self.limits))
    }
}

#[cfg(test)]
mod tests;
