//! Reads what a pod says of its hardware.

use super::claim::{self, Used};
use super::nodes::{Limits, limits};
use crate::members::text::printable;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::Deserialize;
use std::borrow::Cow;

/// What a pod says of its hardware.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::members::kubernetes) struct Asks {
    /// The node on which it runs. Absent: not known.
    pub(super) node: Option<String>,
    /// The accelerators that its containers ask for.
    pub(super) limits: Limits,
    /// The claims by which it has devices.
    pub(super) claims: Vec<Used>,
    /// The class in a label of its own. Absent: there is none.
    pub(super) label: Option<String>,
    /// Its name, if nothing but node and name is known. Absent: all is known.
    pub(super) pod: Option<String>,
}

impl Asks {
    /// Reads a pod. `class_label`: the label whose value is its class; absent if none is.
    pub(in crate::members::kubernetes) fn of(pod: &Pod, class_label: Option<&String>) -> Self {
        let spec = pod.spec.as_ref();
        let containers = spec.map_or(&[][..], |spec| spec.containers.as_slice());
        let asked = containers
            .iter()
            .filter_map(|one| one.resources.as_ref()?.limits.as_ref());
        let asked = asked
            .flatten()
            .map(|(name, quantity)| (name.as_str(), quantity.0.as_str()));
        Self {
            node: spec.and_then(|spec| spec.node_name.clone()),
            limits: limits(asked),
            claims: claim::used(pod),
            label: label(&pod.metadata, class_label),
            pod: None,
        }
    }

    /// Takes what an endpoint of a Service tells: name and node of a pod, absent if not known.
    pub(in crate::members::kubernetes) fn named(pod: Option<String>, node: Option<String>) -> Self {
        Self {
            node,
            pod,
            ..Self::default()
        }
    }
}

/// Reads the class in a label of a pod.
fn label(pod: &ObjectMeta, class_label: Option<&String>) -> Option<String> {
    let class = pod.labels.as_ref()?.get(class_label?)?;
    (!class.is_empty() && printable(class).is_ok()).then(|| class.clone())
}

/// A pod of the API server, of which only this is kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Pod")]
pub(super) struct Asker {
    metadata: ObjectMeta,
    asks: Asks,
}

impl Asker {
    /// Returns what the pod asks for, if it has this UID.
    pub(super) fn asks(&self, uid: &str, class_label: Option<&String>) -> Option<Asks> {
        (self.metadata.uid.as_deref() == Some(uid)).then(|| Asks {
            label: label(&self.metadata, class_label),
            ..self.asks.clone()
        })
    }
}

impl From<Pod> for Asker {
    fn from(pod: Pod) -> Self {
        Self {
            asks: Asks::of(&pod, None),
            metadata: pod.metadata,
        }
    }
}

impl Resource for Asker {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(of: &()) -> Cow<'_, str> {
        Pod::kind(of)
    }

    fn group(of: &()) -> Cow<'_, str> {
        Pod::group(of)
    }

    fn version(of: &()) -> Cow<'_, str> {
        Pod::version(of)
    }

    fn plural(of: &()) -> Cow<'_, str> {
        Pod::plural(of)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
