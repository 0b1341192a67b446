//! Reads loads, seeds and rules: each combination is one run.

use serde_json::Value;
use trimtab_settings::Settings;

use crate::Rule;

/// Most entries of a list.
const MOST: usize = 1_000;

/// Reads one share of capacity or a list of shares.
pub(super) fn loads(s: &Settings<'_>) -> Vec<f64> {
    s.value("loads")
        .hint("write a share of capacity such as 0.85, or a list: [0.5, 0.7, 0.9]")
        .map(|value| {
            let number = |value: &Value| {
                value
                    .as_f64()
                    .filter(|load| (0.01..=3.0).contains(load))
                    .ok_or_else(|| format!("holds {value}, which is not a number from 0.01 to 3"))
            };
            match value {
                Value::Array(items) => distinct(items, number),
                one => number(one).map(|load| vec![load]),
            }
        })
        .default(vec![0.85])
}

/// Reads a count `n`, which means `1..=n`, or a list.
pub(super) fn seeds(s: &Settings<'_>) -> Vec<u64> {
    s.value("seeds")
        .hint("write how many, such as 5, or a list: [1, 2, 7]")
        .map(|value| match value {
            Value::Array(items) => distinct(items, |item| {
                item.as_u64()
                    .ok_or_else(|| format!("holds {item}, which is not a whole number"))
            }),
            count => match count.as_u64() {
                Some(count) if (1..=MOST as u64).contains(&count) => Ok((1..=count).collect()),
                _ => Err(format!("is not a whole number from 1 to {MOST}")),
            },
        })
        .default((1..=5).collect())
}

/// Reads names of rules. The oracle is always included, as the first. A rule that is named twice
/// runs once.
pub(super) fn rules(s: &Settings<'_>, usual: &[Rule]) -> Vec<Rule> {
    let names = || Rule::ALL.map(Rule::as_str).join(", ");
    let mut rules = s
        .strings("rules")
        .hint(format!("known are {}", names()))
        .map(|given| {
            given
                .iter()
                .map(|name| {
                    Rule::named(name).ok_or_else(|| format!("holds {name:.40?}, which is no rule"))
                })
                .collect::<Result<Vec<_>, _>>()
        })
        .default(usual.to_vec());
    rules.insert(0, Rule::Oracle);
    let mut seen = Vec::new();
    rules.retain(|rule| {
        let new = !seen.contains(rule);
        seen.push(*rule);
        new
    });
    rules
}

/// Reads a list that is neither empty nor too long, and has no repeated entries.
fn distinct<T: PartialEq>(
    items: &[Value],
    read: impl Fn(&Value) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    if !(1..=MOST).contains(&items.len()) {
        return Err(format!("has {} entries, not 1 to {MOST}", items.len()));
    }
    let mut list = Vec::with_capacity(items.len());
    for item in items {
        let entry = read(item)?;
        if list.contains(&entry) {
            return Err(format!("holds {item} twice"));
        }
        list.push(entry);
    }
    Ok(list)
}
