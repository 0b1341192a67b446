//! `[[fleet]]`: the endpoints.

use trimtab_engine::{BLOCK_TOKENS, Profile};
use trimtab_settings::Settings;

use crate::{Change, Group, Page, Scenario, Source};

/// Most endpoints, including those added later. A table holds as many.
const MOST_ENDPOINTS: u64 = 10_000;
/// Most endpoints times workers. Each worker has rows and books of its own.
const MOST_ROWS: u64 = 10_000_000;
/// Most tokens of the fleet's KV cache. A simulated block takes about 80 bytes once it is used.
const MOST_KV_TOKENS: u64 = 2_500_000_000;
/// Most groups, and most changes.
pub(super) const MOST_ENTRIES: usize = 1_000;
/// The accelerator of a group that names none, and the number of endpoints of a file without a
/// fleet.
const USUAL: (&str, u32) = ("a100", 32);

/// Reads the fleet at the start.
pub(super) fn groups(s: &Settings<'_>) -> Vec<Group> {
    let entries = s
        .objects("fleet")
        .hint("write one [[fleet]] per kind of endpoints")
        .check(|entries| match entries.len() {
            1..=MOST_ENTRIES => Ok(()),
            count => Err(format!("has {count} entries, not 1 to {MOST_ENTRIES}")),
        })
        .optional();
    match entries {
        Some(entries) => entries.iter().filter_map(group).collect(),
        None => Profile::named(USUAL.0)
            .map(|profile| Group {
                class: USUAL.0.to_owned(),
                count: USUAL.1,
                profile,
                page: Page::Whole,
            })
            .into_iter()
            .collect(),
    }
}

pub(super) fn count(s: &Settings<'_>) -> u32 {
    s.u64("count")
        .range(1..=MOST_ENDPOINTS)
        .hint("write how many endpoints")
        .required_or(1) as u32
}

/// Reads one group. Returns `None` after a problem, which is recorded.
pub(super) fn group(s: &Settings<'_>) -> Option<Group> {
    let names: Vec<&str> = Profile::names().collect();
    let named = s
        .string("profile")
        .hint(format!("known are {}", names.join(", ")))
        .map(|name| Profile::named(&name).ok_or("is no accelerator"))
        .optional()
        .or_else(|| Profile::named(USUAL.0));
    let count = count(s);
    let class = s.string("class").max_bytes(64).optional();
    let Some(mut profile) = named else {
        s.problem("has no profile", format!("use {}", names.join(", ")));
        return None;
    };
    overrides(s, &mut profile);
    if let Err(error) = profile.check() {
        s.problem(error.to_string(), "");
    }
    let usual = || match profile.speed {
        1.0 => profile.name.to_owned(),
        speed => format!("{}-x{speed}", profile.name),
    };
    Some(Group {
        class: class.unwrap_or_else(usual),
        count,
        profile,
        page: s
            .string("page")
            .hint("write whole, from_first_request or unreadable")
            .one_of(&[
                ("whole", Page::Whole),
                ("from_first_request", Page::FromFirstRequest),
                ("unreadable", Page::Unreadable),
            ])
            .default(Page::Whole),
    })
}

/// Replaces the fields of the profile that the group sets.
fn overrides(s: &Settings<'_>, profile: &mut Profile) {
    let float = |name, least, most, field: &mut f64| {
        *field = s.f64(name).range(least..=most).default(*field);
    };
    float("speed", 0.01, 100.0, &mut profile.speed);
    float("step_base_s", 1e-6, 10.0, &mut profile.step_base_s);
    float(
        "prefill_s_per_token",
        1e-9,
        1.0,
        &mut profile.prefill_s_per_token,
    );
    float(
        "decode_s_per_sequence",
        0.0,
        1.0,
        &mut profile.decode_s_per_sequence,
    );
    float(
        "context_s_per_token",
        0.0,
        1.0,
        &mut profile.context_s_per_token,
    );
    float(
        "attention_half_tokens",
        1.0,
        1e9,
        &mut profile.attention_half_tokens,
    );
    float("watermark_ratio", 0.0, 0.5, &mut profile.watermark_ratio);
    float("adapter_load_s", 0.0, 60.0, &mut profile.adapter_load_s);
    let whole = |name, least: u64, most: u64, field: &mut u32| {
        // `most` fits the field.
        *field = s.u64(name).range(least..=most).default(u64::from(*field)) as u32;
    };
    whole("max_num_seqs", 1, 4_096, &mut profile.max_num_seqs);
    whole(
        "max_batched_tokens",
        1,
        1_000_000,
        &mut profile.max_batched_tokens,
    );
    whole("adapter_slots", 0, 1_024, &mut profile.adapter_slots);
    let kv_tokens = s.u64("kv_tokens").range(1_024..=100_000_000).optional();
    if let Some(tokens) = kv_tokens {
        profile.kv_blocks = (tokens / u64::from(BLOCK_TOKENS)) as u32;
    }
}

/// Checks fleet, changes and workload together, and against the limits of a machine.
pub(super) fn fits(s: &Settings<'_>, scenario: &Scenario) {
    let added = scenario
        .churn
        .iter()
        .filter_map(|churn| match &churn.change {
            Change::Add(group) => Some(group),
            _ => None,
        });
    let groups: Vec<&Group> = scenario.fleet.iter().chain(added).collect();
    let workers = scenario
        .deciders
        .count
        .saturating_mul(scenario.deciders.workers);
    machine_holds(s, &groups, workers);
    classes_exist(s, scenario, &groups);
    requests_fit(s, &scenario.traffic.source, &groups);
}

fn machine_holds(s: &Settings<'_>, groups: &[&Group], workers: u32) {
    let sum = |of: fn(&Group) -> u64| groups.iter().map(|group| of(group)).sum::<u64>();
    let endpoints = sum(|group| u64::from(group.count));
    if endpoints > MOST_ENDPOINTS {
        let reason = format!("the fleet has {endpoints} endpoints");
        s.problem(reason, format!("at most {MOST_ENDPOINTS}"));
    }
    let rows = endpoints * u64::from(workers);
    if rows > MOST_ROWS {
        let reason = format!("{workers} workers know {endpoints} endpoints each");
        let fix = format!(
            "at most {MOST_ROWS} in all: fewer endpoints, or a smaller deciders.count or deciders.workers"
        );
        s.problem(reason, fix);
    }
    let kv_tokens = sum(|group| u64::from(group.count) * group.profile.kv_tokens());
    if kv_tokens > MOST_KV_TOKENS {
        let reason = format!("the fleet's KV caches hold {kv_tokens} tokens");
        let fix = format!("at most {MOST_KV_TOKENS}: fewer endpoints, or a smaller kv_tokens");
        s.problem(reason, fix);
    }
}

/// Checks that every change names a class of the fleet.
fn classes_exist(s: &Settings<'_>, scenario: &Scenario, groups: &[&Group]) {
    for churn in &scenario.churn {
        if let Some(class) = churn.change.class()
            && !groups.iter().any(|group| group.class == class)
        {
            let reason = format!("churn: {class:.64?} is no class of the fleet");
            let known: Vec<&str> = groups
                .iter()
                .map(|group| group.class.as_str())
                .take(8)
                .collect();
            s.problem(reason, format!("known are {}", known.join(", ")));
        }
    }
}

/// Checks that every endpoint can take every request.
fn requests_fit(s: &Settings<'_>, source: &Source, groups: &[&Group]) {
    let (context, adapters) = match source {
        Source::Trace(_, limits) => (limits.context_tokens, false),
        Source::Drawn(workload) => (
            workload.limits.context_tokens,
            workload
                .mix
                .iter()
                .any(|part| part.shape.adapters.is_some()),
        ),
    };
    for group in groups {
        let (class, profile) = (&group.class, &group.profile);
        // A prompt cannot use the blocks that an admission leaves free.
        let usable = profile.kv_tokens() as f64 * (1.0 - profile.watermark_ratio);
        if usable < f64::from(context) {
            let reason = format!(
                "class {class:.64?} can hold {usable:.0} tokens, a request may have {context}"
            );
            s.problem(
                reason,
                "raise its kv_tokens, or lower workload.context_tokens",
            );
        }
        if adapters && profile.adapter_slots == 0 {
            let reason = format!(
                "class {class:.64?} has no adapter_slots, and the workload asks for adapters"
            );
            s.problem(reason, "give it at least 1");
        }
    }
}
