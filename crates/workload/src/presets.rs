//! Families of traffic by name. Their parameters are those of the study
//! (docs/algorithm.md#constants).

use crate::stream::{Component, Workload};
use crate::{Adapters, Arrivals, Dist, Limits, Role, Shape, SystemPrompts};

/// The names that [`Workload::preset`] knows, each with a description.
pub const FAMILIES: &[(&str, &str)] = &[
    ("chat", "short prompts, one request each"),
    ("rag", "prompts of about 2,500 tokens that share nothing"),
    (
        "longmix",
        "chat, and 20 % prompts of 6,000 to 20,000 tokens",
    ),
    (
        "sysg50",
        "50 shared system prompts of 1,000 to 6,000 tokens, short questions",
    ),
    ("sysg", "200 shared system prompts"),
    ("sysg500", "500 shared system prompts"),
    (
        "multi",
        "conversations of about 5.5 turns, 5 s apart, over 20 system prompts",
    ),
    (
        "agent",
        "about 9.5 calls of a tool, 1 s apart, over a growing context",
    ),
    ("lora", "chat with 100 adapters"),
];

impl Workload {
    /// Returns the family `name` of [`FAMILIES`], or `None` if there is no such family.
    #[must_use]
    pub fn preset(name: &str, arrivals: Arrivals) -> Option<Self> {
        let one = |shape: Shape| {
            vec![Component {
                name: name.to_owned(),
                weight: 1.0,
                shape,
            }]
        };
        let mix = match name {
            "chat" => one(Shape::default()),
            "rag" => one(rag()),
            "longmix" => vec![
                Component {
                    name: "chat".to_owned(),
                    weight: 0.8,
                    shape: Shape::default(),
                },
                Component {
                    name: "long".to_owned(),
                    weight: 0.2,
                    shape: long(),
                },
            ],
            "sysg50" => one(system_groups(50)),
            "sysg" => one(system_groups(200)),
            "sysg500" => one(system_groups(500)),
            "multi" => one(conversation()),
            "agent" => one(agent()),
            "lora" => one(Shape {
                adapters: Some(Adapters {
                    count: 100,
                    zipf: 1.0,
                    share: 1.0,
                }),
                ..Shape::default()
            }),
            _ => return None,
        };
        Some(Self {
            arrivals,
            mix,
            limits: Limits::default(),
        })
    }
}

fn rag() -> Shape {
    Shape {
        first_input_tokens: Dist::LogNormal {
            median: 2_500.0,
            sigma: 0.5,
            max: 16_000.0,
        },
        output_tokens: Dist::LogNormal {
            median: 100.0,
            sigma: 0.9,
            max: 1_000.0,
        },
        ..Shape::default()
    }
}

fn long() -> Shape {
    Shape {
        first_input_tokens: Dist::Uniform {
            min: 6_000.0,
            max: 20_000.0,
        },
        ..Shape::default()
    }
}

fn system_groups(groups: u32) -> Shape {
    Shape {
        system: Some(SystemPrompts {
            groups,
            zipf: 1.0,
            tokens: Dist::Uniform {
                min: 1_000.0,
                max: 6_000.0,
            },
        }),
        first_input_tokens: Dist::LogNormal {
            median: 60.0,
            sigma: 0.7,
            max: 1_000.0,
        },
        output_tokens: Dist::LogNormal {
            median: 160.0,
            sigma: 0.9,
            max: 1_000.0,
        },
        ..Shape::default()
    }
}

fn conversation() -> Shape {
    Shape {
        system: Some(SystemPrompts {
            groups: 20,
            zipf: 1.0,
            tokens: Dist::Uniform {
                min: 200.0,
                max: 1_500.0,
            },
        }),
        first_input_tokens: Dist::LogNormal {
            median: 130.0,
            sigma: 1.0,
            max: 4_000.0,
        },
        turns: Dist::Geometric { mean: 5.5 },
        think_s: Dist::Exponential { mean: 5.0 },
        ..Shape::default()
    }
}

fn agent() -> Shape {
    Shape {
        system: Some(SystemPrompts {
            groups: 50,
            zipf: 1.0,
            tokens: Dist::Uniform {
                min: 2_000.0,
                max: 4_000.0,
            },
        }),
        first_input_tokens: Dist::LogNormal {
            median: 300.0,
            sigma: 0.8,
            max: 4_000.0,
        },
        later_input_tokens: Dist::LogNormal {
            median: 400.0,
            sigma: 0.7,
            max: 4_000.0,
        },
        later_role: Role::Tool,
        output_tokens: Dist::LogNormal {
            median: 80.0,
            sigma: 0.6,
            max: 500.0,
        },
        turns: Dist::Geometric { mean: 9.5 },
        think_s: Dist::Exponential { mean: 1.0 },
        ..Shape::default()
    }
}
