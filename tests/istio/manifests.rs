//! The manifests of istio/, with the parameters of a test, as a user would write them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::blocks::copy;
use crate::istiod::variable;
use crate::support::stage::filter;

/// A folder of istio/ways, and what it puts into a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Session,
    TrafficExtension,
    EnvoyFilter,
    Waypoint,
}

pub(crate) const WAYS: [Way; 4] = [
    Way::Session,
    Way::TrafficExtension,
    Way::EnvoyFilter,
    Way::Waypoint,
];

impl Way {
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::TrafficExtension => "traffic-extension",
            Self::EnvoyFilter => "envoyfilter",
            Self::Waypoint => "waypoint",
        }
    }

    /// Variables of istiod that the way needs.
    pub(crate) fn variables(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Session => &[("PILOT_ENABLE_PERSISTENT_SESSION_FILTER", "true")],
            Self::Waypoint => &[("PILOT_ENABLE_AMBIENT", "true")],
            Self::TrafficExtension | Self::EnvoyFilter => &[],
        }
    }
}

/// Changes of the files: texts that stand once in a file, and what replaces them.
pub(crate) type Changes<'a> = &'a [(&'a str, &'a str, &'a str)];

/// The kustomization with another way in place of the one that is chosen there.
pub(crate) fn choosing(way: Way) -> (&'static str, &'static str, String) {
    let line = format!("\n- ways/{}\n", way.folder());
    ("kustomization.yaml", "\n- ways/traffic-extension\n", line)
}

/// Returns the text of all resources.
///
/// - `way`: which way.
/// - `changes`: further changes of the files.
pub(crate) fn rendered(way: Way, changes: Changes<'_>) -> String {
    let dir = tempfile::tempdir().unwrap();
    copy(&project("istio"), dir.path());
    let (file, from, to) = choosing(way);
    change(dir.path(), file, from, &to);
    for (file, from, to) in changes {
        change(dir.path(), file, from, to);
    }
    let output = Command::new(variable("TRIMTAB_KUBECTL"))
        .arg("kustomize")
        .arg(dir.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && errors.is_empty(),
        "{way:?}: {errors}"
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the resources of a way whose requests of pool `default` go to the Service `vllm`, and of
/// pool `code` to `coder`. The modules are files, which an Envoy without an agent can load.
pub(crate) fn placing(way: Way, more: Changes<'_>) -> String {
    let filter = filter();
    let pick = filter.with_file_name("pick.wasm");
    let own = [
        (
            "- { pool: vllm, services: [default/vllm:8000], mode: observe }".to_owned(),
            "- { pool: default, services: [default/vllm:8000] }\n    - { pool: code, services: [default/coder:8000] }".to_owned(),
        ),
        (
            "    explain_log: true\n".to_owned(),
            "    explain_log: true\n    table_max_age: 60s\n".to_owned(),
        ),
        (
            "oci://registry.example.com/trimtab-filter:0.1.0".to_owned(),
            format!("file://{}", filter.display()),
        ),
        (
            "oci://registry.example.com/trimtab-pick:0.1.0".to_owned(),
            format!("file://{}", pick.display()),
        ),
    ];
    let own = own
        .iter()
        .map(|(from, to)| ("parameters.yaml", from.as_str(), to.as_str()));
    let (from, to) = (settings_text(), test_settings());
    let text = [("parameters.yaml", from.as_str(), to.as_str())];
    let changes: Vec<_> = own.chain(text).chain(more.iter().copied()).collect();
    let text = rendered(way, &changes);
    if way == Way::EnvoyFilter {
        return with_local_module(&text, &filter);
    }
    text
}

/// The settings as JSON, in the lines of `parameters.yaml`.
pub(crate) fn settings_text() -> String {
    let text = std::fs::read_to_string(project("istio/parameters.yaml")).unwrap();
    let block = text.split("settings_text: |\n").nth(1).unwrap();
    block.split("\n\n").next().unwrap().to_owned()
}

/// The same settings for the requests of a test.
fn test_settings() -> String {
    let mut settings: Value = serde_json::from_str(&settings_text()).unwrap();
    settings["pools"] = json!([
        {"pool": "default", "services": ["default/vllm:8000"]},
        {"pool": "code", "services": ["default/coder:8000"]},
    ]);
    settings["table_max_age"] = json!("60s");
    format!("    {settings}")
}

/// Does what pilot-agent does: names a file in place of where the module is fetched.
fn with_local_module(text: &str, filter: &Path) -> String {
    let begin = text.find("                remote:\n").unwrap();
    let end = begin + text[begin..].find("              runtime:").unwrap();
    let local = format!(
        "                local:\n                  filename: {}\n",
        filter.display()
    );
    [&text[..begin], &local, &text[end..]].concat()
}

/// Returns a path of the project.
pub(crate) fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn change(dir: &Path, file: &str, from: &str, to: &str) {
    let path = dir.join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches(from).count(), 1, "{from} in {file}");
    std::fs::write(&path, text.replace(from, to)).unwrap();
}
