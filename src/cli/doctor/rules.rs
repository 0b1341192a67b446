//! The rules. Each looks at the plugins, and at what else is in the input.

mod clusters;
mod pairs;
mod plugins;
mod reach;
mod services;

use super::finding::{Finding, Level};
use super::plugin::Plugin;
use super::resource::Resource;

/// Returns what is wrong, the worst first.
pub(super) fn examine(resources: &[Resource], plugins: &[Plugin<'_>]) -> Vec<Finding> {
    let mut found = plugins::examine(plugins);
    found.extend(pairs::examine(resources, plugins));
    found.extend(services::examine(resources, plugins));
    found.extend(clusters::examine(resources, plugins));
    found.extend(reach::examine(resources, plugins));
    found.sort_by_key(|finding| finding.level != Level::Error);
    let mut once: Vec<Finding> = Vec::new();
    for finding in found {
        if !once.contains(&finding) {
            once.push(finding);
        }
    }
    once
}
