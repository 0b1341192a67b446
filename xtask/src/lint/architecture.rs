//! Checks what ARCHITECTURE.md says that packages do not know: other packages, and, in the pure
//! ones, clock and system.
//!
//! The lint reads the manifests and not the resolved graph, because feature unification by another
//! package is no dependency of this one. Tests may know more than what ships, so dev-dependencies
//! do not count.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::run;

/// The allowed dependencies of a package.
struct Package {
    name: &'static str,
    /// Allowed packages of this workspace.
    ours: &'static [&'static str],
    /// Allowed packages from outside. `None` allows any. A list makes the package a pure one, and
    /// its sources are searched for [`SYSTEM`].
    others: Option<&'static [&'static str]>,
}

/// Every package of the workspace. The aggregator has no `trimtab-pick`, so it cannot choose.
const PACKAGES: [Package; 15] = [
    pure("trimtab-pick", &[], &["libm"]),
    pure(
        "trimtab-loadtable",
        &["trimtab-pick"],
        &["prost", "serde", "siphasher", "thiserror"],
    ),
    pure("trimtab-estimate", &["trimtab-loadtable"], &["libm"]),
    // It counts what a picker sends, and fills the report. The aggregator does not know it.
    pure(
        "trimtab-report",
        &["trimtab-loadtable", "trimtab-pick"],
        &[],
    ),
    pure("trimtab-engine", &[], &["hashbrown", "thiserror"]),
    pure(
        "trimtab-workload",
        &[],
        &["libm", "serde", "serde_json", "thiserror"],
    ),
    pure("trimtab-settings", &[], &["serde_json"]),
    // Rules over the picker's books. Only the simulator knows them, and nothing that decides.
    pure("trimtab-baselines", &["trimtab-pick"], &[]),
    // The simulator judges the code that ships, so it must know that code. Of what ships, only the
    // command line knows the simulator.
    pure(
        "trimtab-sim",
        &[
            "trimtab-baselines",
            "trimtab-engine",
            "trimtab-estimate",
            "trimtab-loadtable",
            "trimtab-pick",
            "trimtab-report",
            "trimtab-settings",
            "trimtab-workload",
        ],
        &["libm", "serde_json", "thiserror", "toml"],
    ),
    shell("trimtab-wasmhost", &[]),
    shell("trimtab-modelserver", &["trimtab-engine"]),
    shell(
        "trimtab-filter",
        &[
            "trimtab-loadtable",
            "trimtab-pick",
            "trimtab-report",
            "trimtab-settings",
        ],
    ),
    shell(
        "trimtab-aggregator",
        &["trimtab-estimate", "trimtab-loadtable", "trimtab-settings"],
    ),
    shell(
        "trimtab",
        &[
            "trimtab-aggregator",
            "trimtab-filter",
            "trimtab-loadtable",
            "trimtab-modelserver",
            "trimtab-settings",
            "trimtab-sim",
            "trimtab-wasmhost",
            "trimtab-workload",
        ],
    ),
    shell("xtask", &[]),
];

/// The table crate knows `trimtab-pick` only with this feature. Only packages that decide may ask
/// for it.
const SNAPSHOT: (&str, &str) = ("trimtab-loadtable", "snapshot");
const DECIDERS: [&str; 2] = ["trimtab-filter", "trimtab-sim"];

/// Words that no shipped line of a pure package may have: clocks, files, sockets, threads, the
/// environment.
const SYSTEM: [&str; 10] = [
    "Instant",
    "SystemTime",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "std::env",
    "std::fs",
    "std::io",
    "std::process",
    "std::thread",
];

const fn pure(
    name: &'static str,
    ours: &'static [&'static str],
    others: &'static [&'static str],
) -> Package {
    Package {
        name,
        ours,
        others: Some(others),
    }
}

const fn shell(name: &'static str, ours: &'static [&'static str]) -> Package {
    Package {
        name,
        ours,
        others: None,
    }
}

pub(crate) fn check() -> Result<()> {
    let metadata =
        run::output(run::cargo("metadata").args(["--format-version", "1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata is not JSON")?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata has no packages")?;
    let mut wrong = Vec::new();
    for package in packages {
        let name = text(package, "name");
        let Some(rule) = PACKAGES.iter().find(|rule| rule.name == name) else {
            wrong.push(format!("{name} is not listed: say what it may know"));
            continue;
        };
        wrong.extend(forbidden_arrows(rule, package));
        if rule.others.is_some() {
            let manifest = Path::new(text(package, "manifest_path"));
            sources(&manifest.with_file_name("src"), &mut wrong)?;
        }
    }
    if !wrong.is_empty() {
        bail!("{}; see ARCHITECTURE.md, \"Invariants\"", wrong.join(", "));
    }
    Ok(())
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

/// Returns the dependencies of one package that its rule does not allow. `package` has the form of
/// `cargo metadata`. Only dependencies of what ships count.
fn forbidden_arrows(rule: &Package, package: &Value) -> Vec<String> {
    let shipped = package["dependencies"]
        .as_array()
        .map_or(&[][..], Vec::as_slice)
        .iter()
        .filter(|dependency| dependency["kind"] != "dev");
    let mut wrong = Vec::new();
    for dependency in shipped {
        let name = text(dependency, "name");
        let allowed = match rule.others {
            _ if PACKAGES.iter().any(|ours| ours.name == name) => rule.ours.contains(&name),
            Some(others) => others.contains(&name),
            None => true,
        };
        let asks_for = |feature: &str| {
            dependency["features"]
                .as_array()
                .is_some_and(|features| features.iter().any(|asked| asked == feature))
        };
        if !allowed {
            wrong.push(format!("{} may not depend on {name}", rule.name));
        } else if name == SNAPSHOT.0 && asks_for(SNAPSHOT.1) && !DECIDERS.contains(&rule.name) {
            wrong.push(format!(
                "{} may not ask {name} for its feature {}",
                rule.name, SNAPSHOT.1
            ));
        } else if (rule.name, name) == (SNAPSHOT.0, "trimtab-pick")
            && dependency["optional"] != true
        {
            wrong.push(format!(
                "{} may know {name} only behind a feature",
                rule.name
            ));
        }
    }
    wrong
}

/// Searches the Rust files of a folder and its subfolders. Modules that only tests have are left
/// out by name.
fn sources(folder: &Path, wrong: &mut Vec<String>) -> Result<()> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        match name {
            Some("tests" | "tests.rs" | "golden.rs") | None => {}
            _ if path.is_dir() => sources(&path, wrong)?,
            Some(_) => {
                let code = std::fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                let found = system_words(&code);
                wrong.extend(found.map(|word| format!("{} says {word}", path.display())));
            }
        }
    }
    Ok(())
}

/// Returns the words of [`SYSTEM`] in lines that are not comments.
fn system_words(code: &str) -> impl Iterator<Item = &'static str> {
    SYSTEM.into_iter().filter(|word| {
        code.lines()
            .any(|line| !line.trim_start().starts_with("//") && line.contains(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wrong(name: &str, dependencies: &Value) -> Vec<String> {
        let rule = PACKAGES.iter().find(|rule| rule.name == name).unwrap();
        forbidden_arrows(rule, &json!({ "dependencies": dependencies }))
    }

    #[test]
    fn the_project_keeps_its_own_rules() {
        check().unwrap();
    }

    #[test]
    fn an_aggregator_that_could_choose_is_refused_in_both_ways() {
        let direct = wrong("trimtab-aggregator", &json!([{"name": "trimtab-pick"}]));
        assert_eq!(
            direct,
            ["trimtab-aggregator may not depend on trimtab-pick"]
        );
        let table = |features: Value| {
            let table = json!([{"name": "trimtab-loadtable", "features": features}]);
            wrong("trimtab-aggregator", &table).len()
        };
        assert_eq!(table(json!(["json", "snapshot"])), 1);
        assert_eq!(table(json!(["json"])), 0);
    }

    #[test]
    fn the_simulator_alone_knows_the_rules_of_others() {
        let baselines = json!([{"name": "trimtab-baselines"}]);
        let knows = |rule: &&Package| wrong(rule.name, &baselines).is_empty();
        let who: Vec<&str> = PACKAGES
            .iter()
            .filter(knows)
            .map(|rule| rule.name)
            .collect();
        assert_eq!(who, ["trimtab-sim"]);
    }

    #[test]
    fn a_pure_package_takes_nothing_from_outside_but_what_is_listed() {
        assert_eq!(wrong("trimtab-pick", &json!([{"name": "libm"}])).len(), 0);
        assert_eq!(wrong("trimtab-pick", &json!([{"name": "rand"}])).len(), 1);
        let test_only = json!([{"name": "rand", "kind": "dev"}]);
        assert_eq!(wrong("trimtab-pick", &test_only).len(), 0);
        assert_eq!(
            wrong("trimtab-wasmhost", &json!([{"name": "rand"}])).len(),
            0
        );
    }

    #[test]
    fn the_table_knows_the_decision_only_behind_a_feature() {
        let arrow = |optional: bool| {
            let arrow = json!([{"name": "trimtab-pick", "optional": optional}]);
            wrong("trimtab-loadtable", &arrow).len()
        };
        assert_eq!((arrow(false), arrow(true)), (1, 0));
    }

    #[test]
    fn a_clock_is_found_in_code_and_not_in_a_comment() {
        let found = |code: &str| system_words(code).collect::<Vec<_>>();
        assert_eq!(found("use std::time::Instant;"), ["Instant"]);
        assert_eq!(found("/// Never an Instant.\nlet a = 1;"), [""; 0]);
    }
}
