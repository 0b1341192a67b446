//! `[workload]`: a family by name, a mix in full, or a recording.

use std::sync::Arc;

use trimtab_settings::Settings;
use trimtab_workload::trace::Trace;
use trimtab_workload::{
    Adapters, Arrivals, Component, Dist, FAMILIES, Limits, Role, Shape, SystemPrompts, Workload,
};

use super::TraceReader;
use crate::{Source, Traffic};

/// Most components of a mix.
const MOST_COMPONENTS: usize = 32;
/// Most system prompts or adapters of one component. Their popularity is kept as a table of this
/// size.
const MOST_CHOICES: u32 = 100_000;
/// The rate until the load determines it.
const ANY_RATE: f64 = 1.0;

/// Reads the traffic. Also returns whether it has conversations, which need a longer warm-up.
pub(super) fn read(s: &Settings<'_>, trace: TraceReader<'_>) -> (Traffic, bool) {
    let s = s.required_section("workload", "write [workload] with a family or a trace");
    let capacity_per_endpoint = s
        .f64("capacity_per_endpoint")
        .range(0.001..=100_000.0)
        .hint("requests per second that an endpoint of speed 1 serves")
        .optional();
    let source = if s.value("trace").optional().is_some() {
        recorded(&s, trace)
    } else {
        drawn(&s)
    };
    let conversations = match &source {
        Source::Drawn(workload) => workload
            .mix
            .iter()
            .any(|part| !matches!(part.shape.turns, Dist::Constant(turns) if turns <= 1.0)),
        Source::Trace(..) => false,
    };
    let traffic = Traffic {
        source,
        capacity_per_endpoint,
    };
    (traffic, conversations)
}

/// Reads a recording. After a problem, which is recorded, the result is a trace without rows.
fn recorded(s: &Settings<'_>, reader: TraceReader<'_>) -> Source {
    let trace = s
        .string("trace")
        .hint("name a file of Mooncake JSON lines or an Azure CSV; from the scenario file's folder on")
        .max_bytes(4_096)
        .map(|file| {
            let trace = Trace::parse(&reader(&file)?).map_err(|error| error.to_string())?;
            // Without a span of time there is no rate that could be stretched.
            (trace.span_s() > 0.0)
                .then_some(trace)
                .ok_or_else(|| "has all its requests at the same time".to_owned())
        })
        .required_or(Trace {
            format: "none",
            block_tokens: 0,
            rows: Vec::new(),
        });
    Source::Trace(Arc::new(trace), limits(s))
}

/// Reads a family or a mix, with the file's overrides. After a problem, the result has the family
/// `chat`.
fn drawn(s: &Settings<'_>) -> Source {
    let arrivals = bursts(s).unwrap_or(Arrivals::Poisson {
        sessions_per_s: ANY_RATE,
    });
    let limits = limits(s);
    let mut mix = mix(s);
    let overrides = Overrides::read(s);
    mix.iter_mut()
        .for_each(|component| overrides.apply(&mut component.shape));
    let workload = Workload {
        arrivals,
        mix,
        limits,
    };
    if valid(s, &workload) {
        return Source::Drawn(workload);
    }
    Source::Drawn(Workload {
        arrivals,
        mix: vec![chat()],
        limits,
    })
}

fn limits(s: &Settings<'_>) -> Limits {
    let usual = u64::from(Limits::default().context_tokens);
    let context_tokens = s.u64("context_tokens").range(64..=1_000_000);
    Limits {
        // The range fits the field.
        context_tokens: context_tokens.default(usual) as u32,
    }
}

fn chat() -> Component {
    Component {
        name: "chat".to_owned(),
        weight: 1.0,
        shape: Shape::default(),
    }
}

fn mix(s: &Settings<'_>) -> Vec<Component> {
    let names = || {
        let names: Vec<&str> = FAMILIES.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    };
    let given = s
        .value("mix")
        .hint("write a list of { name, weight, shape }; shape as in the documentation of trimtab-workload")
        .map(|value| {
            let mix: Vec<Component> =
                serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
            match mix.len() {
                1..=MOST_COMPONENTS => Ok(mix),
                count => Err(format!("has {count} components, not 1 to {MOST_COMPONENTS}")),
            }
        });
    let family = s.string("family").hint(format!("known are {}", names()));
    let preset = |name: String| {
        let arrivals = Arrivals::Poisson {
            sessions_per_s: ANY_RATE,
        };
        Workload::preset(&name, arrivals)
            .map(|workload| workload.mix)
            .ok_or("is no family")
    };
    if s.value("mix").optional().is_none() {
        return family.map(preset).required_or(vec![chat()]);
    }
    if family.optional().is_some() {
        s.problem("has a family and a mix", "leave one of them out");
    }
    given.required_or(vec![chat()])
}

/// Parameters that replace those of the family in every component. `None` keeps the family's own.
struct Overrides {
    first_input_tokens: Option<Dist>,
    later_input_tokens: Option<Dist>,
    later_role: Option<Role>,
    output_tokens: Option<Dist>,
    turns: Option<Dist>,
    think_s: Option<Dist>,
    system: Option<SystemPrompts>,
    adapters: Option<Adapters>,
}

impl Overrides {
    fn read(s: &Settings<'_>) -> Self {
        let dist = |name| {
            s.value(name)
                .hint("write for example { lognormal = { median = 130, sigma = 1.1, max = 8000 } }")
                .map(|value| serde_json::from_value(value.clone()))
                .optional()
        };
        Self {
            first_input_tokens: dist("first_input_tokens"),
            later_input_tokens: dist("later_input_tokens"),
            output_tokens: dist("output_tokens"),
            turns: dist("turns"),
            think_s: dist("think_s"),
            later_role: s
                .value("later_role")
                .hint("write user or tool")
                .map(|value| serde_json::from_value(value.clone()))
                .optional(),
            system: s
                .value("system")
                .hint("write { groups, zipf, tokens }")
                .map(|value| serde_json::from_value(value.clone()))
                .optional(),
            adapters: s
                .value("adapters")
                .hint("write { count, zipf, share }")
                .map(|value| serde_json::from_value(value.clone()))
                .optional(),
        }
    }

    fn apply(&self, shape: &mut Shape) {
        let dist = |given: Option<Dist>, field: &mut Dist| *field = given.unwrap_or(*field);
        dist(self.first_input_tokens, &mut shape.first_input_tokens);
        dist(self.later_input_tokens, &mut shape.later_input_tokens);
        dist(self.output_tokens, &mut shape.output_tokens);
        dist(self.turns, &mut shape.turns);
        dist(self.think_s, &mut shape.think_s);
        shape.later_role = self.later_role.unwrap_or(shape.later_role);
        shape.system = self.system.or(shape.system);
        shape.adapters = self.adapters.or(shape.adapters);
    }
}

fn bursts(s: &Settings<'_>) -> Option<Arrivals> {
    let hint = "write { busy_ratio, busy_s, quiet_s }";
    let s = s.object("bursts").hint(hint).optional()?;
    Some(Arrivals::Bursts {
        sessions_per_s: ANY_RATE,
        busy_ratio: s
            .f64("busy_ratio")
            .range(1.0..=1_000.0)
            .hint("how many times the rate of a quiet period a busy one has")
            .required_or(1.0),
        busy_s: s.f64("busy_s").range(0.001..=86_400.0).required_or(1.0),
        quiet_s: s.f64("quiet_s").range(0.001..=86_400.0).required_or(1.0),
    })
}

/// Records the problems of a workload. Returns whether there are none.
fn valid(s: &Settings<'_>, workload: &Workload) -> bool {
    let mut valid = true;
    let mut wrong = |reason: String, fix: &str| {
        s.problem(reason, fix);
        valid = false;
    };
    for component in &workload.mix {
        let shape = &component.shape;
        let groups = shape.system.map_or(0, |system| system.groups);
        let adapters = shape.adapters.map_or(0, |adapters| adapters.count);
        if groups.max(adapters) > MOST_CHOICES {
            let reason = format!(
                "{:.64?} has {groups} groups and {adapters} adapters",
                component.name
            );
            wrong(reason, "at most 100,000 of either");
            return false;
        }
    }
    if let Err(invalid) = workload.stream(0) {
        invalid
            .problems
            .into_iter()
            .for_each(|problem| wrong(problem, ""));
    }
    valid
}
