//! Names hardware classes: what changes speed, as in `NVIDIA-A100-SXM4-40GB mig-1g.5gb 5GiB x2`.

use super::claim::{Claim, Used};
use super::device::Device;
use super::inventory::Inventory;
use crate::members::text::printable;
use std::collections::{BTreeMap, BTreeSet};

/// How many devices of one pod are looked at. A pod cannot have more claims and devices than this
/// by far; with more its class is not known.
const MOST_DEVICES: usize = 1_024;

/// Returns the class of a pod with these devices: product, part, memory and number, the parts of
/// which are not known left out. Different devices stand beside each other with ` + ` between them.
/// Devices without a product, such as network cards, do not count. `None`: no device has a product,
/// or the name would be too long for a table.
pub(super) fn of(devices: impl IntoIterator<Item = Device>) -> Option<String> {
    let mut counts: BTreeMap<(String, Option<String>, Option<u64>), u64> = BTreeMap::new();
    for device in devices {
        if let Some(product) = device.product {
            let count = counts.entry((product, device.part, device.memory_gib));
            let count = count.or_default();
            *count = count.saturating_add(device.count);
        }
    }
    let name =
        |((product, part, memory_gib), count): ((String, Option<String>, Option<u64>), u64)| {
            let memory = memory_gib.map(|gib| format!("{gib}GiB"));
            let count = (count > 1).then(|| format!("x{count}"));
            let words = [Some(product), part, memory, count];
            words.into_iter().flatten().collect::<Vec<_>>().join(" ")
        };
    let class = counts.into_iter().map(name).collect::<Vec<_>>().join(" + ");
    (!class.is_empty() && printable(&class).is_ok()).then_some(class)
}

/// Returns the class of a pod that uses these claims. `None`: a claim is not allocated, or what one
/// of its devices is cannot be told, so that the number would be wrong.
pub(super) fn of_claims<'c>(
    claims: impl IntoIterator<Item = (&'c Used, &'c Claim)>,
    inventory: &Inventory,
) -> Option<String> {
    let mut devices = Vec::new();
    let mut known = BTreeSet::new();
    for (used, claim) in claims {
        for one in claim.devices.as_ref()? {
            // Several shares of one device are one device.
            let mut is_new = || known.insert((&one.driver, &one.pool, &one.device));
            if !used.takes(&one.request) || !is_new() {
                continue;
            }
            let device = inventory.device(&one.driver, &one.pool, &one.device)?;
            devices.push(Device {
                memory_gib: one.memory_gib.or(device.memory_gib),
                ..device.clone()
            });
            if devices.len() > MOST_DEVICES {
                return None;
            }
        }
    }
    of(devices)
}

#[cfg(test)]
mod tests;
