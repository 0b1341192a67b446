//! Names that documents may use although the project does not have them.

/// The names, each with the reason why it is not found.
pub(super) const NAMES: [(&str, &str); 11] = [
    ("no_std", "an attribute of Rust"),
    ("Accept", "a header of HTTP, spelt as in its standard"),
    (
        "StopIterationAndWatermark",
        "an action of the proxy-wasm ABI",
    ),
    ("StopIterationAndBuffer", "an action of the proxy-wasm ABI"),
    (
        "x-trimtab-explain",
        "an example of what an operator may choose",
    ),
    ("WasmPlugin", "a resource of Istio"),
    ("AuthorizationPolicy", "a resource of Istio"),
    (
        "istio_agent_wasm_config_conversion_count",
        "a metric of Istio's agent",
    ),
    ("--disable-access-log-for-endpoints", "a flag of vLLM"),
    ("--uvicorn-access-log-exclude-prefixes", "a flag of SGLang"),
    ("pick.wasm", "built by `cargo xtask wasm`"),
];

pub(super) fn is_known(name: &str) -> bool {
    NAMES.iter().any(|(known, _)| *known == name)
}
