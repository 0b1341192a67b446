//! A session: one conversation, agent run or single request.

use std::sync::Arc;

use crate::rng::mix;
use crate::shape::Shape;
use crate::stream::Kind;
use crate::{Part, Prompt, Rng, Role, Segment};

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// Seconds from the *end* of the previous turn until this one is sent. 0 on the first turn,
    /// which is due at [`Session::start_s`].
    pub think_s: f64,
    /// Everything that the model reads. A later turn repeats all earlier inputs and answers.
    pub prompt: Prompt,
    /// The answer of the model. The request asks for its length, and the next turn repeats its
    /// identity. With a real server, the driver repeats the text of that server instead.
    pub answer: Segment,
    /// The adapter that the request asks for. `None` means the base model.
    pub adapter: Option<u32>,
}

/// The limits of a prompt. Servers' context windows need them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most tokens of prompt and answer together, at least 2. A longer first turn is shortened. A
    /// session ends early if its next turn would exceed the limit, as a chat does whose context
    /// window is full.
    pub context_tokens: u32,
}

impl Default for Limits {
    /// Returns the context window of the servers that the presets were made for.
    fn default() -> Self {
        Self {
            context_tokens: 32_000,
        }
    }
}

/// A session: an iterator of its turns. They depend only on the seed, the session's index and its
/// kind.
#[derive(Debug, Clone)]
pub struct Session {
    index: u64,
    start_s: f64,
    family: Arc<str>,
    script: Script,
}

#[derive(Debug, Clone)]
enum Script {
    /// Draws turn by turn.
    Drawn(Box<Drawn>),
    /// One request from a trace.
    Single(Option<Turn>),
}

#[derive(Debug, Clone)]
struct Drawn {
    shape: Arc<Shape>,
    limits: Limits,
    rng: Rng,
    /// The identities of the session's own segments are derived from this.
    seed: u64,
    turns_left: u32,
    segments: u64,
    adapter: Option<u32>,
    said: Prompt,
    first: bool,
}

/// The most turns of a session. More would be a mistake in the parameters.
const MOST_TURNS: u32 = 1_000;

impl Session {
    /// Makes the session `index` of the stream `seed`, of the given kind.
    pub(crate) fn drawn(index: u64, start_s: f64, seed: u64, kind: &Kind, limits: Limits) -> Self {
        let own_seed = mix(seed, index);
        let mut rng = Rng::derive(own_seed, 1);
        let mut said = Prompt::default();
        if let Some((system, popularity)) = kind.shape.system.as_ref().zip(kind.groups.as_ref()) {
            let group = mix(kind.seed, u64::from(popularity.draw(&mut rng)));
            // The group's own generator draws the length, so all sessions of the group have the
            // same.
            let tokens = system
                .tokens
                .draw_count(&mut Rng::derive(group, 2))
                .min(limits.context_tokens / 2);
            said.parts.push(Part {
                role: Role::System,
                segment: Segment { id: group, tokens },
            });
        }
        let adapter = kind
            .shape
            .adapters
            .as_ref()
            .zip(kind.adapters.as_ref())
            .and_then(|(adapters, popularity)| {
                let wanted = rng.unit() <= adapters.share;
                let index = popularity.draw(&mut rng);
                wanted.then_some(index)
            });
        let turns_left = kind.shape.turns.draw_count(&mut rng).min(MOST_TURNS);
        let drawn = Drawn {
            shape: kind.shape.clone(),
            limits,
            rng,
            seed: own_seed,
            turns_left,
            segments: 0,
            adapter,
            said,
            first: true,
        };
        Self {
            index,
            start_s,
            family: kind.family.clone(),
            script: Script::Drawn(Box::new(drawn)),
        }
    }

    /// Makes a session of one request, for traces.
    pub(crate) fn single(index: u64, start_s: f64, family: Arc<str>, turn: Turn) -> Self {
        Self {
            index,
            start_s,
            family,
            script: Script::Single(Some(turn)),
        }
    }

    /// Returns the position in the stream, from 0. It also identifies the conversation.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Returns when the first turn is due, in seconds after the stream's start.
    #[must_use]
    pub fn start_s(&self) -> f64 {
        self.start_s
    }

    /// Returns the name of the mix component or of the trace format that the session comes from.
    #[must_use]
    pub fn family(&self) -> &Arc<str> {
        &self.family
    }
}

impl Iterator for Session {
    type Item = Turn;

    fn next(&mut self) -> Option<Turn> {
        match &mut self.script {
            Script::Drawn(drawn) => drawn.turn(),
            Script::Single(turn) => turn.take(),
        }
    }
}

impl Drawn {
    fn turn(&mut self) -> Option<Turn> {
        self.turns_left = self.turns_left.checked_sub(1)?;
        let first = std::mem::replace(&mut self.first, false);
        let shape = self.shape.clone();
        let (dist, role) = if first {
            (&shape.first_input_tokens, Role::User)
        } else {
            (&shape.later_input_tokens, shape.later_role)
        };
        let think_s = if first {
            0.0
        } else {
            shape.think_s.draw(&mut self.rng)
        };
        let mut input = dist.draw_count(&mut self.rng);
        let mut output = shape.output_tokens.draw_count(&mut self.rng);
        let room = self
            .limits
            .context_tokens
            .saturating_sub(self.said.tokens());
        if input.saturating_add(output) > room {
            if !first {
                self.turns_left = 0;
                return None;
            }
            output = output.min(room / 2).max(1);
            input = input.min(room.saturating_sub(output)).max(1);
        }
        let asked = self.segment(input);
        self.said.parts.push(Part {
            role,
            segment: asked,
        });
        let prompt = self.said.clone();
        let answer = self.segment(output);
        self.said.parts.push(Part {
            role: Role::Assistant,
            segment: answer,
        });
        Some(Turn {
            think_s,
            prompt,
            answer,
            adapter: self.adapter,
        })
    }

    fn segment(&mut self, tokens: u32) -> Segment {
        self.segments += 1;
        Segment {
            id: mix(self.seed, self.segments),
            tokens,
        }
    }
}
