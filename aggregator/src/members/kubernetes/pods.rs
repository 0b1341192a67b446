//! Reads the endpoints behind a pod.

use super::found::Found;
use super::hardware::Asks;
use super::section::Reading;
use k8s_openapi::api::core::v1::Pod;

/// Reads a pod. `None`: it has no address yet, or its containers have ended for good.
pub(super) fn found(pod: &Pod, ports: &[u16], reading: &Reading) -> Option<Found> {
    let status = pod.status.as_ref()?;
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let mut conditions = status.conditions.iter().flatten();
    let is_ready = conditions.any(|one| one.type_ == "Ready" && one.status == "True");
    Some(Found {
        uid: pod.metadata.uid.clone(),
        ip: status.pod_ip.as_ref()?.parse().ok()?,
        ports: ports.to_vec(),
        is_ready,
        is_leaving: pod.metadata.deletion_timestamp.is_some(),
        class: None,
        zone: None,
        asks: Asks::of(pod, reading.class_label.as_ref()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(pod: Value) -> Option<Found> {
        let pod: Pod = serde_json::from_value(pod).expect("a pod");
        found(&pod, &[8000], &Reading::default())
    }

    fn pod(ready: &str) -> Value {
        json!({
            "metadata": {"uid": "u1", "labels": {"app": "vllm"}},
            "status": {
                "phase": "Running", "podIP": "10.0.0.1",
                "conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": ready}],
            },
        })
    }

    #[test]
    fn a_pod_is_ready_by_its_condition_and_leaves_by_its_timestamp() {
        let ready = read(pod("True")).expect("found");
        assert!(ready.is_ready && !ready.is_leaving);
        assert_eq!(ready.ip.to_string(), "10.0.0.1");
        assert_eq!(ready.uid.as_deref(), Some("u1"));
        for not in ["False", "Unknown"] {
            assert!(!read(pod(not)).expect("found").is_ready);
        }
        let mut leaving = pod("True");
        leaving["metadata"]["deletionTimestamp"] = json!("2026-11-30T10:00:00Z");
        let leaving = read(leaving).expect("found");
        assert!(leaving.is_ready && leaving.is_leaving);
    }

    #[test]
    fn a_pod_without_an_address_or_at_its_end_is_nothing() {
        for (field, value) in [
            ("podIP", Value::Null),
            ("podIP", json!("nowhere")),
            ("phase", json!("Succeeded")),
            ("phase", json!("Failed")),
        ] {
            let mut pod = pod("True");
            pod["status"][field] = value;
            assert_eq!(read(pod), None, "{field}");
        }
        assert_eq!(read(json!({"metadata": {}})), None);
    }
}
