//! Reads hardware and zone from the labels of a node.

use crate::members::text::printable;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;

const ZONE: &str = "topology.kubernetes.io/zone";
/// Labels that name the accelerator, the most exact first: those of NVIDIA, AMD and Intel, then
/// those that clouds set.
const PRODUCTS: [&str; 7] = [
    "nvidia.com/gpu.product",
    "amd.com/gpu.product-name",
    "gpu.intel.com/product",
    "cloud.google.com/gke-tpu-accelerator",
    "cloud.google.com/gke-accelerator",
    "karpenter.k8s.aws/instance-gpu-name",
    "kubernetes.azure.com/accelerator",
];

/// What matters of a node for the pods on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Facts {
    /// Absent: no label names it.
    pub(super) zone: Option<String>,
    /// The product name of its accelerators. Absent: no label names it.
    pub(super) product: Option<String>,
}

/// The accelerators that a pod asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Devices {
    /// How many accelerators, or parts of one. 0: the pod does not say.
    pub(super) count: u64,
    /// The kind of the parts, as in `mig-1g.10gb`. Absent: whole accelerators.
    pub(super) part: Option<String>,
}

/// Reads the labels of a node.
pub(super) fn facts(node: &ObjectMeta) -> Facts {
    let label = |key: &str| {
        let value = node.labels.as_ref()?.get(key)?;
        (!value.is_empty() && printable(value).is_ok()).then(|| value.clone())
    };
    Facts {
        zone: label(ZONE),
        product: PRODUCTS.into_iter().find_map(label),
    }
}

/// Reads the limits of a pod's containers: pairs of a resource's name and its quantity. A quantity
/// that is not a whole number counts as 0, because a pod cannot ask for a fraction of an
/// accelerator.
pub(super) fn devices<'p>(limits: impl Iterator<Item = (&'p str, &'p str)>) -> Devices {
    let mut found = Devices::default();
    for (resource, quantity) in limits {
        let Some((vendor, name)) = resource.split_once('/') else {
            continue;
        };
        let is_whole = matches!(
            (vendor, name),
            ("nvidia.com" | "amd.com", "gpu")
                | ("google.com", "tpu")
                | ("gpu.intel.com", "i915" | "xe")
        );
        let is_part = vendor == "nvidia.com" && name.starts_with("mig-");
        if is_whole || is_part {
            found.count = found.count.saturating_add(quantity.parse().unwrap_or(0));
        }
        if is_part {
            found.part = Some(name.to_owned());
        }
    }
    found
}

/// Returns the hardware class of a pod with these devices on such a node. It has what changes
/// speed: product, part and number. `None`: not known.
pub(super) fn class(facts: &Facts, devices: &Devices) -> Option<String> {
    let mut class = facts.product.clone()?;
    if let Some(part) = &devices.part {
        class = format!("{class} {part}");
    }
    if devices.count > 1 {
        class = format!("{class} x{}", devices.count);
    }
    printable(&class).is_ok().then_some(class)
}

/// All nodes by name.
pub(super) type Nodes = BTreeMap<String, Facts>;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(labels: &serde_json::Value) -> Facts {
        let node = json!({"name": "a", "labels": labels});
        facts(&serde_json::from_value(node).expect("metadata"))
    }

    #[test]
    fn the_class_is_product_part_and_number() {
        let nvidia = node(&json!({
            "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "cloud.google.com/gke-accelerator": "nvidia-h100-80gb",
            "topology.kubernetes.io/zone": "eu-1a",
        }));
        assert_eq!(nvidia.zone.as_deref(), Some("eu-1a"));
        let amd = node(&json!({"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"}));
        let tpu = node(&json!({"cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice"}));
        let none = node(&json!({"nvidia.com/gpu.product": ""}));
        for (facts, limits, expected) in [
            (
                &nvidia,
                vec![("nvidia.com/gpu", "1")],
                Some("NVIDIA-H100-80GB-HBM3"),
            ),
            (
                &nvidia,
                vec![("nvidia.com/gpu", "2"), ("cpu", "8")],
                Some("NVIDIA-H100-80GB-HBM3 x2"),
            ),
            (
                &nvidia,
                vec![("nvidia.com/mig-1g.10gb", "1")],
                Some("NVIDIA-H100-80GB-HBM3 mig-1g.10gb"),
            ),
            // The pod asks for devices by DRA, or in another way that is not read here.
            (
                &nvidia,
                vec![("memory", "4Gi")],
                Some("NVIDIA-H100-80GB-HBM3"),
            ),
            (
                &amd,
                vec![("amd.com/gpu", "4"), ("amd.com/gpu", "4")],
                Some("AMD_Instinct_MI300X_OAM x8"),
            ),
            (
                &tpu,
                vec![("google.com/tpu", "4")],
                Some("tpu-v6e-slice x4"),
            ),
            (&none, vec![("nvidia.com/gpu", "1")], None),
        ] {
            let class = class(facts, &devices(limits.into_iter()));
            assert_eq!(class.as_deref(), expected);
        }
    }
}
