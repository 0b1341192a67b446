//! Reads ResourceClaims, and which of them a pod uses.

use super::device::gib;
use super::version::{GROUP, Version};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::DynamicResourceScope;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;

/// How many devices a claim may have. The API allows 32.
const MOST_RESULTS: usize = 256;
/// How many claims and containers of a pod are read.
const MOST_USED: usize = 256;

/// A ResourceClaim, as far as it tells hardware.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Whole")]
pub(super) struct Claim {
    metadata: ObjectMeta,
    /// The devices that were allocated. Absent: none are yet, or too many to be true.
    pub(super) devices: Option<Vec<Allocated>>,
}

/// A device that was allocated for a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Allocated {
    /// The request of the claim, as in `main`, or `main/sub` where one of a list was chosen.
    pub(super) request: String,
    pub(super) driver: String,
    pub(super) pool: String,
    pub(super) device: String,
    /// How much of the device's memory the claim has. Absent: all.
    pub(super) memory_gib: Option<u64>,
}

/// A claim that a pod uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) name: String,
    /// The requests that its containers use. Empty: all.
    requests: Vec<String>,
}

impl Used {
    /// Whether the pod has what was allocated for this request.
    pub(super) fn takes(&self, request: &str) -> bool {
        let main = request.split_once('/').map_or(request, |(main, _)| main);
        let names = |wanted: &String| wanted == main || wanted == request;
        self.requests.is_empty() || self.requests.iter().any(names)
    }
}

/// Returns the claims that a pod uses: those that it names, those that were made for it from
/// templates, and the one that was made for plain requests such as `nvidia.com/gpu`.
pub(super) fn used(pod: &Pod) -> Vec<Used> {
    let status = pod.status.as_ref();
    let made = status.and_then(|status| status.resource_claim_statuses.as_ref());
    let made = |name: &str| {
        made?
            .iter()
            .find(|one| one.name == name)?
            .resource_claim_name
            .clone()
    };
    let spec = pod.spec.as_ref();
    let named = spec.and_then(|spec| spec.resource_claims.as_ref());
    let named = named.into_iter().flatten().filter_map(|claim| {
        Some(Used {
            name: claim
                .resource_claim_name
                .clone()
                .or_else(|| made(&claim.name))?,
            requests: requests(pod, &claim.name),
        })
    });
    let plain = status.and_then(|status| status.extended_resource_claim_status.as_ref());
    let plain = plain.map(|plain| Used {
        name: plain.resource_claim_name.clone(),
        requests: Vec::new(),
    });
    named.chain(plain).take(MOST_USED).collect()
}

/// Returns the requests of a claim that containers of the pod use. Empty: all.
fn requests(pod: &Pod, claim: &str) -> Vec<String> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let uses = containers.filter_map(|one| one.resources.as_ref()?.claims.as_ref());
    let uses = uses.flatten().filter(|used| used.name == claim);
    let requests: Option<Vec<String>> = uses
        .take(MOST_USED)
        .map(|used| used.request.clone())
        .collect();
    requests.unwrap_or_default()
}

/// A ResourceClaim of the API server, in any version.
#[derive(Deserialize)]
struct Whole {
    metadata: ObjectMeta,
    #[serde(default)]
    status: Value,
}

impl From<Whole> for Claim {
    fn from(whole: Whole) -> Self {
        Self {
            metadata: whole.metadata,
            devices: devices(&whole.status),
        }
    }
}

/// Reads a claim's status. Devices to which the claim has access only to watch over them are left
/// out.
fn devices(status: &Value) -> Option<Vec<Allocated>> {
    let allocation = status.get("allocation").filter(|found| found.is_object())?;
    let results = allocation
        .pointer("/devices/results")
        .and_then(Value::as_array);
    let results = results.map_or(&[][..], Vec::as_slice);
    if results.len() > MOST_RESULTS {
        return None;
    }
    let is_used = |result: &&Value| result.get("adminAccess") != Some(&Value::Bool(true));
    results.iter().filter(is_used).map(allocated).collect()
}

fn allocated(result: &Value) -> Option<Allocated> {
    let text = |name: &str| Some(result.get(name)?.as_str()?.to_owned());
    let driver = text("driver")?;
    let consumed = result.get("consumedCapacity");
    let memory = consumed.and_then(|consumed| {
        let long = || consumed.get(format!("{driver}/memory"));
        consumed.get("memory").or_else(long)
    });
    Some(Allocated {
        request: text("request").unwrap_or_default(),
        pool: text("pool")?,
        device: text("device")?,
        memory_gib: memory.and_then(gib),
        driver,
    })
}

impl Resource for Claim {
    type DynamicType = Version;
    type Scope = DynamicResourceScope;

    fn kind(_: &Version) -> Cow<'_, str> {
        "ResourceClaim".into()
    }

    fn group(_: &Version) -> Cow<'_, str> {
        GROUP.into()
    }

    fn version(version: &Version) -> Cow<'_, str> {
        version.name().into()
    }

    fn plural(_: &Version) -> Cow<'_, str> {
        "resourceclaims".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
