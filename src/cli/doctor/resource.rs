//! Objects of Kubernetes, as files and kubectl have them.

use std::fmt;

use anyhow::{Result, bail};
use serde_json::Value;
use trimtab_aggregator::yaml::not_yaml;

/// An object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Resource {
    /// Where it was read.
    pub(super) file: String,
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
    value: Value,
}

impl Resource {
    fn new(file: &str, value: Value) -> Option<Self> {
        let text = |pointer: &str| Some(value.pointer(pointer)?.as_str()?.to_owned());
        let (kind, name) = (text("/kind")?, text("/metadata/name")?);
        let namespace = text("/metadata/namespace").unwrap_or_else(|| "default".to_owned());
        Some(Self {
            file: file.to_owned(),
            kind,
            namespace,
            name,
            value,
        })
    }

    /// Returns a part of `spec`, or null.
    pub(super) fn spec(&self, pointer: &str) -> &Value {
        self.at(&format!("/spec{pointer}"))
    }

    /// Returns a part, or null.
    pub(super) fn at(&self, pointer: &str) -> &Value {
        self.value.pointer(pointer).unwrap_or(&Value::Null)
    }

    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.value
            .get("metadata")?
            .get("labels")?
            .get(name)?
            .as_str()
    }

    /// Returns a list in `spec`; empty if there is none.
    pub(super) fn list(&self, pointer: &str) -> &[Value] {
        self.spec(pointer).as_array().map_or(&[], Vec::as_slice)
    }

    /// The name of a Service or ServiceEntry in the mesh.
    pub(super) fn host(&self) -> String {
        format!("{}.{}.svc.cluster.local", self.name, self.namespace)
    }

    /// Whether a host in a rule of this object's namespace, which may be short, means that Service.
    pub(super) fn means(&self, host: &str, service: &Self) -> bool {
        let named = host == service.name && self.namespace == service.namespace;
        let short = format!("{}.{}", service.name, service.namespace);
        named || host == service.host() || host == short || host == format!("{short}.svc")
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// Reads the objects of a text, also those in lists.
pub(super) fn read(file: &str, text: &str) -> Result<Vec<Resource>> {
    let documents: Vec<Value> = match serde_saphyr::from_multiple(text) {
        Ok(documents) => documents,
        Err(error) => bail!("{file}: {}", not_yaml(&error)),
    };
    let mut found = Vec::new();
    for document in documents {
        let items = document.get("items").and_then(Value::as_array).cloned();
        let all = items.unwrap_or_else(|| vec![document]);
        found.extend(
            all.into_iter()
                .filter_map(|value| Resource::new(file, value)),
        );
    }
    Ok(found)
}
