//! Tests the manifests of istio/ on a real istiod, with stock Envoys that it configures.
//!
//! Real are kube-apiserver, etcd, kubectl, istiod, istioctl, Envoy, filter.wasm and the manifests.
//! There is no kubelet and no pilot-agent: slices are written by the tests, proxies speak to istiod
//! without mTLS, and modules are files. The program runs in a network of its own, in which 10.1.0.0
//! and what follows are addresses of this machine. `cargo xtask test --only istio` starts it so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests: a failure here is a failed test"
)]

#[path = "../../aggregator/tests/kubernetes/blocks.rs"]
mod blocks;
mod clean;
#[path = "../../aggregator/tests/kubernetes/cluster.rs"]
#[allow(dead_code, reason = "the tests of Kubernetes use the rest")]
mod cluster;
mod gateways;
mod istiod;
#[path = "../../aggregator/tests/kubernetes/kubectl.rs"]
#[allow(dead_code, reason = "the tests of Kubernetes use the rest")]
mod kubectl;
mod labels;
mod manifests;
mod mesh;
mod page;
mod proxy;
mod refused;
#[path = "../envoy/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests of Envoy use the rest")]
mod support;
mod ways;
mod whole;
