use super::*;
use crate::members::kubernetes::hardware::slice::Slice;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use std::sync::Arc;

fn slices(specs: &[Value]) -> Inventory {
    let slice = |spec: &Value| {
        let slice = json!({"metadata": {"name": "a"}, "spec": spec});
        Arc::new(serde_json::from_value::<Slice>(slice).expect("a slice"))
    };
    Inventory::of(specs.iter().map(slice))
}

fn claim(status: &Value) -> Claim {
    let claim = json!({"metadata": {"name": "c"}, "status": status});
    serde_json::from_value(claim).expect("a claim")
}

/// The class of a pod with one claim, which has these devices.
fn class_of(results: &Value, slices: &Inventory) -> Option<String> {
    let claim = claim(&json!({"allocation": {"devices": {"results": results}}}));
    let pod = json!({"spec": {"containers": [], "resourceClaims": [{"name": "g", "resourceClaimName": "c"}]}});
    let used = used(&pod);
    of_claims(used.iter().map(|used| (used, &claim)), slices)
}

fn used(pod: &Value) -> Vec<Used> {
    let pod: Pod = serde_json::from_value(pod.clone()).expect("a pod");
    super::super::claim::used(&pod)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

/// The cases of `tests/devices.yaml`.
fn cases() -> Vec<Value> {
    let text = include_str!("../../../../../tests/devices.yaml");
    serde_saphyr::from_str(text).expect("cases")
}

#[test]
fn each_vendors_devices_have_the_class_that_tells_their_speed() {
    let cases = cases();
    for case in &cases {
        let class = class_of(&case["results"], &slices(list(&case["slices"])));
        assert_eq!(class.as_deref(), case["class"].as_str(), "{}", case["name"]);
    }
    assert!(cases.len() > 8);
    // All at once they do not disturb each other, and the oldest version tells the same.
    let all: Vec<Value> = cases
        .iter()
        .flat_map(|case| list(&case["slices"]).to_vec())
        .collect();
    let mut distinct: Vec<Value> = Vec::new();
    for mut slice in all {
        let devices = slice["devices"].as_array_mut().expect("devices");
        for device in devices {
            let name = device["name"].take();
            *device = json!({"name": name, "basic": device.take()});
        }
        if !distinct.contains(&slice) {
            distinct.push(slice);
        }
    }
    let inventory = slices(&distinct);
    for case in &cases {
        let class = class_of(&case["results"], &inventory);
        assert_eq!(class.as_deref(), case["class"].as_str(), "{}", case["name"]);
    }
}

/// A slice with one device, `gpu-0`.
fn slice(product: &str, generation: u64, count: u64) -> Value {
    json!({
        "driver": "d", "pool": {"name": "p", "generation": generation, "resourceSliceCount": count},
        "devices": [{"name": "gpu-0", "attributes": {"model": {"string": product}}}],
    })
}

fn one() -> Value {
    json!([{"request": "r", "driver": "d", "pool": "p", "device": "gpu-0"}])
}

#[test]
fn only_the_newest_generation_counts_and_only_if_all_its_slices_are_there() {
    let other = |generation: u64, count: u64| {
        let mut other = slice("new", generation, count);
        other["devices"][0]["name"] = json!("gpu-1");
        other
    };
    for (all, expected) in [
        (vec![slice("old", 1, 1)], Some("old")),
        (vec![slice("old", 1, 1), slice("new", 2, 1)], Some("new")),
        (vec![slice("new", 2, 1), slice("old", 1, 1)], Some("new")),
        (vec![slice("new", 2, 2), slice("old", 1, 1)], None),
        (
            vec![slice("new", 2, 2), slice("old", 1, 1), other(2, 2)],
            Some("new"),
        ),
        (vec![slice("new", 2, 2), other(1, 2)], None),
        // They do not agree, there are too many, or they do not say.
        (vec![slice("new", 2, 2), other(2, 3)], None),
        (vec![slice("new", 2, 1), other(2, 1)], None),
        (vec![slice("new", 2, 0)], None),
        (vec![], None),
    ] {
        let class = class_of(&one(), &slices(&all));
        assert_eq!(class.as_deref(), expected, "{all:?}");
    }
}

#[test]
fn a_pod_has_the_devices_of_the_requests_that_its_containers_use() {
    let pod = |uses: Value| {
        let containers =
            json!([{"name": "vllm", "resources": {"claims": uses}}, {"name": "sidecar"}]);
        json!({"spec": {"containers": containers, "resourceClaims": [{"name": "g", "resourceClaimTemplateName": "t"}]},
            "status": {"resourceClaimStatuses": [{"name": "other", "resourceClaimName": "x"}, {"name": "g", "resourceClaimName": "c"}]}})
    };
    let results = json!([
        {"request": "main/big", "driver": "d", "pool": "p", "device": "gpu-0"},
        {"request": "spare", "driver": "d", "pool": "p", "device": "gpu-1"},
    ]);
    let claim = claim(&json!({"allocation": {"devices": {"results": results}}}));
    let mut both = slice("a", 1, 1);
    let second = json!({"name": "gpu-1", "attributes": {"model": {"string": "b"}}});
    both["devices"]
        .as_array_mut()
        .expect("devices")
        .push(second);
    let inventory = slices(&[both]);
    for (uses, expected) in [
        (json!([{"name": "g"}]), "a + b"),
        (json!([{"name": "g", "request": "main"}]), "a"),
        (json!([{"name": "g", "request": "spare"}]), "b"),
        (
            json!([{"name": "g", "request": "spare"}, {"name": "g", "request": "main"}]),
            "a + b",
        ),
        (
            json!([{"name": "g", "request": "spare"}, {"name": "g"}]),
            "a + b",
        ),
        (json!([]), "a + b"),
    ] {
        let used = used(&pod(uses.clone()));
        assert_eq!(used.len(), 1, "{uses}");
        let class = of_claims(used.iter().map(|used| (used, &claim)), &inventory);
        assert_eq!(class.as_deref(), Some(expected), "{uses}");
    }
    let names = |pod: &Value| {
        used(pod)
            .into_iter()
            .map(|used| used.name)
            .collect::<Vec<_>>()
    };
    let mut unneeded = pod(json!([]));
    unneeded["status"]["resourceClaimStatuses"] = json!([{"name": "g"}]);
    assert!(names(&unneeded).is_empty());
    let mut plain = pod(json!([]));
    plain["spec"]["resourceClaims"] = json!(null);
    plain["status"] = json!({"extendedResourceClaimStatus": {
        "resourceClaimName": "vllm-0-extended-resources-abc12",
        "requestMappings": [{"containerName": "vllm", "resourceName": "nvidia.com/gpu", "requestName": "container-0-request-0"}],
    }});
    assert_eq!(names(&plain), ["vllm-0-extended-resources-abc12"]);
}

#[test]
fn what_is_not_wholly_known_has_no_class() {
    let inventory = slices(&[slice("a", 1, 1)]);
    assert_eq!(class_of(&one(), &inventory).as_deref(), Some("a"));
    let without = |field: &str| {
        let mut result = one();
        result[0].as_object_mut().expect("an object").remove(field);
        result
    };
    for field in ["driver", "pool", "device"] {
        assert_eq!(class_of(&without(field), &inventory), None, "{field}");
    }
    assert_eq!(
        class_of(&without("request"), &inventory).as_deref(),
        Some("a")
    );
    for (field, wrong) in [
        ("driver", json!("e")),
        ("pool", json!("q")),
        ("device", json!("gpu-1")),
        ("device", json!(0)),
    ] {
        let mut result = one();
        result
            .as_array_mut()
            .expect("a list")
            .push(one()[0].clone());
        result[1][field] = wrong;
        assert_eq!(class_of(&result, &inventory), None, "{field}");
    }
    for status in [
        json!(null),
        json!({}),
        json!({"allocation": null}),
        json!([]),
        json!("x"),
    ] {
        assert_eq!(claim(&status).devices, None, "{status}");
    }
    for results in [json!([]), json!(null), json!({}), json!("x")] {
        assert_eq!(class_of(&results, &inventory), None, "{results}");
    }
    assert_eq!(of_claims([], &inventory), None);
}

#[test]
fn shares_of_one_device_are_one_device_with_the_memory_that_the_claim_has() {
    let mut shared = slice("a", 1, 1);
    shared["devices"][0]["capacity"] = json!({"memory": {"value": "80Gi"}});
    let inventory = slices(&[shared]);
    let share = |id: &str| json!({"request": "r", "driver": "d", "pool": "p", "device": "gpu-0", "shareID": id, "consumedCapacity": {"memory": "20Gi"}});
    assert_eq!(
        class_of(&json!([share("1"), share("2")]), &inventory).as_deref(),
        Some("a 20GiB")
    );
    assert_eq!(class_of(&one(), &inventory).as_deref(), Some("a 80GiB"));
}

#[test]
fn huge_and_odd_objects_cost_their_own_class_and_little_memory() {
    let named = |name: String, model: &str| json!({"name": name, "attributes": {"model": {"string": model}}});
    // More devices than the API allows: those at the end are not known.
    let mut huge = slice("a", 1, 1);
    huge["devices"] = (0..5_000)
        .map(|number| named(format!("gpu-{number}"), "a"))
        .collect();
    let inventory = slices(&[huge]);
    assert_eq!(class_of(&one(), &inventory).as_deref(), Some("a"));
    let result = |number: u32| json!({"request": "r", "driver": "d", "pool": "p", "device": format!("gpu-{number}")});
    assert_eq!(class_of(&json!([result(4_999)]), &inventory), None);
    let many: Value = (0..200).map(result).collect();
    assert_eq!(class_of(&many, &inventory).as_deref(), Some("a x200"));
    let too_many: Value = (0..257).map(result).collect();
    assert_eq!(class_of(&too_many, &inventory), None);
    let names: Vec<Value> = (0..1_000)
        .map(|number| json!({"name": format!("g{number}"), "resourceClaimName": "c"}))
        .collect();
    let used = used(&json!({"spec": {"containers": [], "resourceClaims": names}}));
    assert_eq!(used.len(), 256);
    // A name that no table can carry.
    let kinds: Vec<Value> = (0..10)
        .map(|number| {
            named(
                format!("gpu-{number}"),
                &format!("{number}{}", "m".repeat(40)),
            )
        })
        .collect();
    let mut long = slice("a", 1, 1);
    long["devices"] = json!(kinds);
    let long = slices(&[long]);
    let all: Value = (0..10).map(result).collect();
    assert_eq!(class_of(&all, &long), None);
    assert!(class_of(&one(), &long).is_some());
    // Slices without what they must have.
    for odd in [
        json!(null),
        json!({}),
        json!([]),
        json!({"devices": 5}),
        json!({"driver": "d", "pool": "p", "devices": [null, 1, []]}),
        json!({"driver": "d", "pool": {"name": "p", "generation": "1", "resourceSliceCount": -1}, "devices": [{}]}),
    ] {
        assert_eq!(
            class_of(&one(), &slices(std::slice::from_ref(&odd))),
            None,
            "{odd}"
        );
        assert_eq!(
            class_of(&one(), &slices(&[odd.clone(), slice("a", 1, 1)])).as_deref(),
            Some("a"),
            "{odd}"
        );
    }
}
