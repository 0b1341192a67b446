//! Discovery from a real API server: kube-apiserver and etcd, without a cluster.
//!
//! The API server, its objects, watches, RBAC and the sockets are real. The tests themselves set a
//! pod's status and the EndpointSlices of a Service, because there is neither kubelet nor
//! controller. Without the programs that `cargo xtask test --only kubernetes` provides every test
//! fails and says so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helper fails by panicking"
)]

mod blocks;
mod callers;
mod cluster;
mod deploy;
mod devices;
mod files;
mod hardware;
mod healing;
mod images;
mod inference_pool;
mod kubectl;
mod nodes;
mod objects;
mod page;
mod pools;
mod rbac;
mod scale;
mod service;
#[path = "../support/mod.rs"]
mod support;
