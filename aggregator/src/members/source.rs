//! The section `discovery` of a pool.

use super::Target;
use super::dns::Name;
use super::file::{self, EndpointFile};
use super::kubernetes::Kubernetes;
use serde_json::Value;
use trimtab_settings::Settings;

/// Where a pool's endpoints come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discovery {
    /// A YAML or JSON file, read again when it changes.
    File(EndpointFile),
    /// The A and AAAA records of a name.
    Dns(Name),
    /// What a Kubernetes cluster declares.
    Kubernetes(Box<Kubernetes>),
    /// The list itself.
    Static(Vec<Target>),
}

impl Discovery {
    /// Reads the section. Each source reads its own part.
    pub(crate) fn read(s: &Settings<'_>) -> Self {
        let hint = "write one of `file: {path: ...}`, `dns: {host: ..., port: ...}`, `kubernetes: {...}` or `endpoints: [...]`";
        let discovery = s
            .about(
                "Where the endpoints come from: exactly one of `endpoints`, \
                `file`, `dns`, `kubernetes`.",
            )
            .required_section("discovery", hint);
        let file = discovery.about(
            "A file with a list under `endpoints:`, read again when it \
            changes. A broken file changes nothing.",
        );
        let file = file.object("file");
        let file = file.hint("write `file: {path: endpoints.yaml}`").optional();
        let dns = discovery.about(
            "The A and AAAA records of a name, for instance of a headless Kubernetes Service.",
        );
        let dns = dns.object("dns");
        let dns = dns.hint("write `dns: {host: .., port: ..}`").optional();
        let kubernetes = discovery.about(
            "What a Kubernetes cluster declares: exactly one of \
            `inference_pool`, `service`, `pods`. A pod is in the table once \
            it is ready by its conditions. It drains when it is being \
            deleted or is ready no more, and is gone with its object. Who is \
            known by its UID: another pod at a former address starts from \
            nothing. With the API server away the last list stays. \
            [Rights](operations.md#rights-in-kubernetes).",
        );
        let kubernetes = kubernetes.object("kubernetes");
        let kubernetes = kubernetes
            .hint("write `kubernetes: {inference_pool: namespace/name}`")
            .optional();
        let listed = file::listed(&discovery).optional();
        let given = [
            file.map(|file| Self::File(EndpointFile::read(&file))),
            dns.map(|dns| Self::Dns(Name::read(&dns))),
            kubernetes.map(|section| Self::Kubernetes(Box::new(Kubernetes::read(&section)))),
            listed.map(|list| Self::Static(file::targets(&discovery, &list))),
        ];
        let mut given: Vec<Self> = given.into_iter().flatten().collect();
        if given.len() > 1 {
            discovery.problem("names more than one source", hint);
        }
        given.pop().unwrap_or_else(|| {
            // A source that is written but wrong has already been reported.
            let written = s.value("discovery").optional().and_then(Value::as_object);
            let sources = ["file", "dns", "kubernetes", "endpoints"];
            if written.is_some_and(|fields| !sources.iter().any(|name| fields.contains_key(*name)))
            {
                discovery.problem("names no source of endpoints", hint);
            }
            Self::Static(Vec::new())
        })
    }
}
