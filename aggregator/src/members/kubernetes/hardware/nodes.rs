//! Reads hardware and zone from the labels of a node.

use super::class;
use super::device::{self, Device};
use crate::members::text::printable;
use std::collections::BTreeMap;

const ZONE: &str = "topology.kubernetes.io/zone";
const MIB: f64 = (1_u64 << 20) as f64;
/// Labels that name the accelerator, and those that tell the memory of one, the most exact first:
/// those of NVIDIA, AMD and Intel, then those that clouds set.
const PRODUCTS: [(&str, Option<&str>); 8] = [
    ("nvidia.com/gpu.product", Some("nvidia.com/gpu.memory")),
    ("amd.com/gpu.product-name", Some("amd.com/gpu.vram")),
    (
        "beta.amd.com/gpu.product-name",
        Some("beta.amd.com/gpu.vram"),
    ),
    ("gpu.intel.com/product", None),
    ("cloud.google.com/gke-tpu-accelerator", None),
    ("cloud.google.com/gke-accelerator", None),
    (
        "karpenter.k8s.aws/instance-gpu-name",
        Some("karpenter.k8s.aws/instance-gpu-memory"),
    ),
    ("kubernetes.azure.com/accelerator", None),
];

/// The labels of a node.
pub(super) type Labels = BTreeMap<String, String>;

/// The accelerators that a pod asks for by name and number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Limits {
    /// How many accelerators, or parts of one. 0: the pod does not say.
    pub(super) count: u64,
    /// The kind of the parts, as in `mig-1g.10gb`. Absent: whole accelerators.
    pub(super) part: Option<String>,
}

/// Whether the label is read here.
pub(super) fn is_read(key: &str) -> bool {
    let of_product =
        |(product, memory): &(&str, Option<&str>)| key == *product || Some(key) == *memory;
    let of_part = || key.starts_with("nvidia.com/mig-") && key.ends_with(".memory");
    key == ZONE || PRODUCTS.iter().any(of_product) || of_part()
}

/// Returns the zone of a node. `None`: no label names it.
pub(super) fn zone(node: &Labels) -> Option<String> {
    text(node, ZONE).map(str::to_owned)
}

/// Returns a label that is neither empty nor unfit for a table.
fn text<'l>(node: &'l Labels, key: &str) -> Option<&'l str> {
    let value = node.get(key)?;
    (!value.is_empty() && printable(value).is_ok()).then_some(value)
}

/// Reads the limits of a pod's containers: pairs of a resource's name and its quantity. A quantity
/// that is not a whole number counts as 0, because a pod cannot ask for a fraction of an
/// accelerator.
pub(super) fn limits<'p>(limits: impl Iterator<Item = (&'p str, &'p str)>) -> Limits {
    let mut found = Limits::default();
    for (resource, quantity) in limits {
        let Some((vendor, name)) = resource.split_once('/') else {
            continue;
        };
        let is_whole = matches!(
            (vendor, name),
            ("nvidia.com", "gpu" | "gpu.shared")
                | ("amd.com", "gpu")
                | ("google.com", "tpu")
                | ("gpu.intel.com", "i915" | "xe")
                | ("habana.ai", "gaudi")
        );
        // NVIDIA's names of parts, and AMD's, as in `cpx_nps4`.
        let is_part = vendor == "nvidia.com" && name.starts_with("mig-")
            || vendor == "amd.com" && name.contains("_nps");
        if is_whole || is_part {
            found.count = found.count.saturating_add(quantity.parse().unwrap_or(0));
        }
        if is_part {
            found.part = Some(name.to_owned());
        }
    }
    found
}

/// Returns the hardware class of a pod that asks for these accelerators on such a node. `None`: not
/// known.
pub(super) fn class(node: &Labels, limits: &Limits) -> Option<String> {
    let known =
        |(product, memory): (&str, Option<&'static str>)| Some((text(node, product)?, memory));
    let (product, memory) = PRODUCTS.into_iter().find_map(known)?;
    let memory_gib = match &limits.part {
        None => memory.and_then(|label| gib(text(node, label)?)),
        Some(part) => text(node, &format!("nvidia.com/{part}.memory")).and_then(gib),
    };
    class::of([Device {
        product: Some(product.to_owned()),
        part: limits.part.clone(),
        memory_gib,
        count: limits.count.max(1),
    }])
}

/// Reads a label with memory: a number of MiB, or of GiB with `G`, as AMD writes it.
fn gib(text: &str) -> Option<u64> {
    let (number, unit) = match text.strip_suffix('G') {
        Some(number) => (number, MIB * 1024.0),
        None => (text, MIB),
    };
    device::round(number.parse::<f64>().ok()? * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(labels: &[(&str, &str)]) -> Labels {
        labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_class_is_product_part_memory_and_number() {
        let nvidia = labels(&[
            ("nvidia.com/gpu.product", "NVIDIA-H100-80GB-HBM3"),
            ("nvidia.com/gpu.memory", "81559"),
            ("nvidia.com/mig-1g.10gb.memory", "9856"),
            ("cloud.google.com/gke-accelerator", "nvidia-h100-80gb"),
            ("topology.kubernetes.io/zone", "eu-1a"),
        ]);
        assert!(nvidia.keys().all(|key| is_read(key)) && !is_read("kubernetes.io/hostname"));
        assert_eq!(zone(&nvidia).as_deref(), Some("eu-1a"));
        let amd = labels(&[
            ("amd.com/gpu.product-name", "AMD_Instinct_MI300X_OAM"),
            ("amd.com/gpu.vram", "192G"),
        ]);
        let tpu = labels(&[("cloud.google.com/gke-tpu-accelerator", "tpu-v6e-slice")]);
        let odd = labels(&[
            ("nvidia.com/gpu.product", "NVIDIA-L4"),
            ("nvidia.com/gpu.memory", "much"),
        ]);
        let none = labels(&[("nvidia.com/gpu.product", "")]);
        for (node, asked, expected) in [
            (
                &nvidia,
                vec![("nvidia.com/gpu", "1")],
                Some("NVIDIA-H100-80GB-HBM3 80GiB"),
            ),
            (
                &nvidia,
                vec![("nvidia.com/gpu", "2"), ("cpu", "8")],
                Some("NVIDIA-H100-80GB-HBM3 80GiB x2"),
            ),
            (
                &nvidia,
                vec![("nvidia.com/mig-1g.10gb", "1")],
                Some("NVIDIA-H100-80GB-HBM3 mig-1g.10gb 10GiB"),
            ),
            // The node does not say how large the part is.
            (
                &nvidia,
                vec![("nvidia.com/mig-2g.20gb", "1")],
                Some("NVIDIA-H100-80GB-HBM3 mig-2g.20gb"),
            ),
            // The pod asks for devices in a way that is not read here.
            (
                &nvidia,
                vec![("memory", "4Gi")],
                Some("NVIDIA-H100-80GB-HBM3 80GiB"),
            ),
            (
                &amd,
                vec![("amd.com/gpu", "4"), ("amd.com/gpu", "4")],
                Some("AMD_Instinct_MI300X_OAM 192GiB x8"),
            ),
            (
                &amd,
                vec![("amd.com/cpx_nps4", "1")],
                Some("AMD_Instinct_MI300X_OAM cpx_nps4"),
            ),
            (
                &tpu,
                vec![("google.com/tpu", "4")],
                Some("tpu-v6e-slice x4"),
            ),
            (&odd, vec![("nvidia.com/gpu", "-1")], Some("NVIDIA-L4")),
            (&none, vec![("nvidia.com/gpu", "1")], None),
        ] {
            let class = class(node, &limits(asked.into_iter()));
            assert_eq!(class.as_deref(), expected);
        }
    }
}
