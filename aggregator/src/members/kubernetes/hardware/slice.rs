//! Reads ResourceSlices, in which drivers list their devices.

use super::device::{self, Device};
use super::version::{GROUP, Version};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::DynamicResourceScope;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;

/// How many devices of a slice are kept. The API allows 128.
const MOST_DEVICES: usize = 1_024;

/// A ResourceSlice, as far as it tells hardware. A device takes its name and a pointer: devices of
/// a slice that are alike share their description.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Whole")]
pub(super) struct Slice {
    metadata: ObjectMeta,
    pub(super) driver: String,
    /// The pool that the slice is a part of. Its name is unique for a driver.
    pub(super) pool: String,
    /// The driver writes all slices of a pool anew under a higher number.
    pub(super) generation: i64,
    /// How many slices of this generation the pool has. 0: not known.
    pub(super) slices: u64,
    /// Ordered by name.
    devices: Vec<(Box<str>, Arc<Device>)>,
}

impl Slice {
    /// Returns the device with this name.
    pub(super) fn device(&self, name: &str) -> Option<&Device> {
        let place = self
            .devices
            .binary_search_by(|(known, _)| (**known).cmp(name));
        self.devices.get(place.ok()?).map(|(_, device)| &**device)
    }
}

/// A ResourceSlice of the API server, in any version.
#[derive(Deserialize)]
struct Whole {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Value,
}

impl From<Whole> for Slice {
    fn from(whole: Whole) -> Self {
        let spec = &whole.spec;
        let text = |path: &str| {
            spec.pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let driver = text("/driver").to_owned();
        let devices = spec.get("devices").and_then(Value::as_array);
        Self {
            pool: text("/pool/name").to_owned(),
            generation: spec
                .pointer("/pool/generation")
                .and_then(Value::as_i64)
                .unwrap_or(0),
            slices: spec
                .pointer("/pool/resourceSliceCount")
                .and_then(Value::as_u64)
                .unwrap_or(0),
            devices: read(&driver, devices.map_or(&[][..], Vec::as_slice)),
            driver,
            metadata: whole.metadata,
        }
    }
}

fn read(driver: &str, devices: &[Value]) -> Vec<(Box<str>, Arc<Device>)> {
    let mut kinds: Vec<Arc<Device>> = Vec::new();
    let mut all = Vec::new();
    for (name, device) in devices
        .iter()
        .take(MOST_DEVICES)
        .filter_map(|one| device::read(driver, one))
    {
        let known = kinds.iter().find(|known| ***known == device).cloned();
        let kind = known.unwrap_or_else(|| {
            let kind = Arc::new(device);
            kinds.push(Arc::clone(&kind));
            kind
        });
        all.push((name.into_boxed_str(), kind));
    }
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all
}

impl Resource for Slice {
    type DynamicType = Version;
    type Scope = DynamicResourceScope;

    fn kind(_: &Version) -> Cow<'_, str> {
        "ResourceSlice".into()
    }

    fn group(_: &Version) -> Cow<'_, str> {
        GROUP.into()
    }

    fn version(version: &Version) -> Cow<'_, str> {
        version.name().into()
    }

    fn plural(_: &Version) -> Cow<'_, str> {
        "resourceslices".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
