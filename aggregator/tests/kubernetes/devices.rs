//! Devices as drivers publish them, claims as the scheduler allocates them, and their pods.

use std::net::IpAddr;

use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::objects::{NAMESPACE, patch_status, pods, set_ready};

/// The cases of `tests/devices.yaml`.
pub(crate) fn cases() -> Vec<Value> {
    serde_saphyr::from_str(include_str!("../devices.yaml")).unwrap()
}

pub(crate) fn case(name: &str) -> Value {
    let mut cases = cases().into_iter();
    cases.find(|case| case["name"] == name).unwrap()
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// The API for devices in one version.
pub(crate) struct Devices<'c> {
    pub(crate) client: &'c Client,
    pub(crate) version: &'static str,
}

impl Devices<'_> {
    fn resource(&self, kind: &str) -> ApiResource {
        ApiResource::from_gvk(&GroupVersionKind::gvk(
            "resource.k8s.io",
            self.version,
            kind,
        ))
    }

    pub(crate) fn slices(&self) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &self.resource("ResourceSlice"))
    }

    pub(crate) fn claims(&self) -> Api<DynamicObject> {
        Api::namespaced_with(
            self.client.clone(),
            NAMESPACE,
            &self.resource("ResourceClaim"),
        )
    }

    pub(crate) async fn create_slice(&self, name: &str, mut spec: Value) {
        if self.version == "v1beta1" {
            for device in spec["devices"].as_array_mut().unwrap() {
                let name = device.as_object_mut().unwrap().remove("name");
                *device = json!({"name": name, "basic": device.take()});
            }
        }
        let slice = json!({"metadata": {"name": name}, "spec": spec});
        let slice: DynamicObject = serde_json::from_value(slice).unwrap();
        let created = self.slices().create(&PostParams::default(), &slice).await;
        created.unwrap();
    }

    /// Creates a claim for which these devices were allocated.
    pub(crate) async fn create_claim(&self, name: &str, results: &Value) {
        let mut requests: Vec<Value> = Vec::new();
        for result in list(results) {
            let request = self.request(result);
            if !requests.contains(&request) {
                requests.push(request);
            }
        }
        let claim =
            json!({"metadata": {"name": name}, "spec": {"devices": {"requests": requests}}});
        let claim: DynamicObject = serde_json::from_value(claim).unwrap();
        let claims = self.claims();
        claims.create(&PostParams::default(), &claim).await.unwrap();
        let status = json!({"status": {"allocation": {"devices": {"results": results}}}});
        let patch = PatchParams::default();
        claims
            .patch_status(name, &patch, &Patch::Merge(status))
            .await
            .unwrap();
    }

    /// What was asked for, as the result tells.
    fn request(&self, result: &Value) -> Value {
        let name = result["request"].as_str().unwrap();
        // The class exists nowhere, and the API server does not look for it.
        let class = json!({"deviceClassName": "accelerators.example.com", "allocationMode": "All"});
        if let Some((main, sub)) = name.split_once('/') {
            let mut sub = json!({"name": sub});
            sub.as_object_mut()
                .unwrap()
                .extend(class.as_object().unwrap().clone());
            return json!({"name": main, "firstAvailable": [sub]});
        }
        let mut exactly = class;
        if result["adminAccess"] == true {
            exactly["adminAccess"] = json!(true);
        }
        if self.version == "v1beta1" {
            exactly["name"] = json!(name);
            return exactly;
        }
        json!({"name": name, "exactly": exactly})
    }
}

/// How a pod comes to its claim.
#[derive(Debug, Clone, Copy)]
pub(crate) enum By {
    Name,
    Template,
    /// It asks for `nvidia.com/gpu`, and the scheduler makes the claim.
    Limit,
}

/// Creates a pod that has a claim, and is ready.
pub(crate) async fn create_pod(client: &Client, name: &str, ip: IpAddr, claim: &str, by: By) {
    let mut pod = json!({
        "metadata": {"name": name, "labels": {"app": "vllm", "hardware": "by-label"}},
        "spec": {"nodeName": "node-a", "containers": [{"name": "vllm", "image": "vllm"}]},
    });
    let mut status = json!({"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]});
    let resources = json!({"claims": [{"name": "accelerators"}]});
    match by {
        By::Name => {
            pod["spec"]["containers"][0]["resources"] = resources;
            pod["spec"]["resourceClaims"] =
                json!([{"name": "accelerators", "resourceClaimName": claim}]);
        }
        By::Template => {
            pod["spec"]["containers"][0]["resources"] = resources;
            pod["spec"]["resourceClaims"] =
                json!([{"name": "accelerators", "resourceClaimTemplateName": "any"}]);
            status["resourceClaimStatuses"] =
                json!([{"name": "accelerators", "resourceClaimName": claim}]);
        }
        By::Limit => {
            pod["spec"]["containers"][0]["resources"] = json!({"limits": {"nvidia.com/gpu": "1"}});
            let mapping = json!({"containerName": "vllm", "resourceName": "nvidia.com/gpu", "requestName": "gpu"});
            status["extendedResourceClaimStatus"] =
                json!({"resourceClaimName": claim, "requestMappings": [mapping]});
        }
    }
    let pod = serde_json::from_value(pod).unwrap();
    pods(client)
        .create(&PostParams::default(), &pod)
        .await
        .unwrap();
    patch_status(client, name, status).await;
    set_ready(client, name, true).await;
}
