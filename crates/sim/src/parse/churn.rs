//! `[[churn]]`: how endpoints come, go and fail.

use trimtab_settings::Settings;

use super::fleet::{MOST_ENTRIES, count, group};
use crate::{Change, Churn};

/// Reads the changes, and sorts them by time.
pub(super) fn changes(s: &Settings<'_>) -> Vec<Churn> {
    let entries = s
        .objects("churn")
        .hint("write one [[churn]] per change")
        .check(|entries| match entries.len() {
            0..=MOST_ENTRIES => Ok(()),
            count => Err(format!("has {count} entries, not 0 to {MOST_ENTRIES}")),
        })
        .default(Vec::new());
    let mut churn: Vec<Churn> = entries.iter().filter_map(one).collect();
    churn.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    churn
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Add,
    Drain,
    Kill,
    Hang,
    Recover,
    Slow,
}

/// Reads one change. Returns `None` after a problem, which is recorded.
fn one(s: &Settings<'_>) -> Option<Churn> {
    let at_s = s
        .f64("at_s")
        .range(0.0..=172_800.0)
        .hint("write seconds after the start of the run, warm-up included")
        .required();
    let kinds = [
        ("add", Kind::Add),
        ("drain", Kind::Drain),
        ("kill", Kind::Kill),
        ("hang", Kind::Hang),
        ("recover", Kind::Recover),
        ("slow", Kind::Slow),
    ];
    let kind = s
        .string("change")
        .hint("write add, drain, kill, hang, recover or slow")
        .one_of(&kinds)
        .required_or(Kind::Kill);
    let change = match kind {
        Kind::Add => Change::Add(group(s)?),
        _ => of_a_class(s, kind),
    };
    Some(Churn { at_s, change })
}

fn of_a_class(s: &Settings<'_>, kind: Kind) -> Change {
    let class = s
        .string("class")
        .hint("name a class of the fleet")
        .max_bytes(64)
        .required();
    let count = count(s);
    match kind {
        Kind::Drain => Change::Drain { class, count },
        Kind::Hang => Change::Hang {
            class,
            count,
            page_hangs: s.bool("page_hangs").default(false),
        },
        Kind::Recover => Change::Recover { class, count },
        Kind::Slow => Change::Slow {
            class,
            count,
            factor: s
                .f64("factor")
                .range(0.01..=100.0)
                .hint("write what their speed is multiplied by, such as 0.33")
                .required_or(1.0),
        },
        Kind::Add | Kind::Kill => Change::Kill { class, count },
    }
}
