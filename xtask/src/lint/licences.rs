//! Checks licences and sources of all packages in Cargo.lock against `deny.toml`.
//!
//! The file has the format of cargo-deny, which checks more of it (advisories, bans). Building that
//! tool takes longer than all our lints together. So this lint answers the two questions that
//! matter at every commit.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{project, run};

pub(crate) fn check() -> Result<()> {
    let text = std::fs::read_to_string(project::root().join("deny.toml"))
        .context("cannot read deny.toml")?;
    let allowed = allowed(&text)?;
    let metadata = run::output(run::cargo("metadata").args(["--format-version", "1", "--locked"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata is not JSON")?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata has no packages")?;
    let wrong: Vec<_> = packages
        .iter()
        .filter_map(|package| refused(package, &allowed))
        .collect();
    if !wrong.is_empty() {
        bail!("{}; see deny.toml", wrong.join(", "));
    }
    Ok(())
}

/// Returns the list `allow = [...]` of the section `[licenses]`.
fn allowed(deny: &str) -> Result<BTreeSet<String>> {
    let section = deny
        .split("\n[")
        .find_map(|section| section.strip_prefix("licenses]"))
        .context("deny.toml has no [licenses]")?;
    let (_, list) = section
        .split_once("allow = [")
        .context("deny.toml: [licenses] has no allow list")?;
    let (list, _) = list
        .split_once(']')
        .context("deny.toml: the allow list does not end")?;
    Ok(list
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect())
}

fn refused(package: &Value, allowed: &BTreeSet<String>) -> Option<String> {
    let name = format!(
        "{} {}",
        package["name"].as_str().unwrap_or("?"),
        package["version"].as_str().unwrap_or("?")
    );
    match package["source"].as_str() {
        Some(source) if !source.starts_with("registry+") => {
            return Some(format!("{name} comes from {source}, not from the registry"));
        }
        _ => {}
    }
    let licence = package["license"].as_str().unwrap_or("none");
    (!satisfied(licence, allowed)).then(|| format!("{name} has licence {licence}"))
}

/// Returns whether allowed licences alone can satisfy an SPDX expression. `/` is the old spelling
/// of OR. AND binds stronger.
fn satisfied(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace(" WITH ", "+WITH+");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let mut at = 0;
    any_of(&words, &mut at, allowed) && at == words.len()
}

fn any_of(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = all_of(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all_of(words, at, allowed);
    }
    met
}

fn all_of(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at, allowed);
    }
    met
}

fn one(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let word = words.get(*at).copied().unwrap_or_default();
    *at += 1;
    if word != "(" {
        return allowed.contains(&word.replace("+WITH+", " WITH "));
    }
    let met = any_of(words, at, allowed);
    *at += 1; // the closing parenthesis
    met
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_met_when_one_alternative_is_allowed_as_a_whole() {
        let deny = "[graph]\nx = 1\n[licenses]\nallow = [\n  \"MIT\", # short\n  \"Apache-2.0 WITH LLVM-exception\",\n  \"Unicode-3.0\",\n]\n";
        let allowed = allowed(deny).unwrap();
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "MIT/Apache-2.0",
            "(MIT OR GPL-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(satisfied(good, &allowed), "{good}");
        }
        for bad in [
            "none",
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "Apache-2.0",
            "(MIT OR GPL-2.0) AND OpenSSL",
            "MIT) OR GPL",
        ] {
            assert!(!satisfied(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn a_package_from_outside_of_the_registry_is_refused() {
        let allowed = BTreeSet::from(["MIT".to_owned()]);
        let package = |source: Value| serde_json::json!({"name": "a", "version": "1.0.0", "license": "MIT", "source": source});
        assert_eq!(refused(&package(Value::Null), &allowed), None);
        assert_eq!(refused(&package("registry+x".into()), &allowed), None);
        assert!(
            refused(&package("git+https://example.org/a".into()), &allowed)
                .unwrap()
                .contains("git+")
        );
    }
}
