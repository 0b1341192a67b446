//! Discovery from a real API server: kube-apiserver and etcd, without a cluster.
//!
//! Real: the API server, its objects, its watches, RBAC, sockets. Played, because there is no kubelet and no controller: a pod's status and
//! the EndpointSlices of a Service. Needs what `cargo xtask test --only kubernetes` provides; without it every test fails and says so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helper fails by panicking"
)]

mod cluster;
mod healing;
mod inference_pool;
mod nodes;
mod objects;
mod pools;
mod rbac;
mod scale;
mod service;
#[path = "../support/mod.rs"]
mod support;
