//! What can go wrong before and while a VM runs.

use std::path::PathBuf;

/// Why a filter cannot be loaded, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The file cannot be read.
    #[error("cannot read filter {}; build it with `cargo xtask wasm`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not a valid wasm module.
    #[error("filter does not compile: {0}")]
    Compile(String),
    /// A module, but not a proxy-wasm filter.
    #[error("filter is no proxy-wasm 0.2.x module: {0}")]
    Abi(&'static str),
    /// It imports what this host does not have.
    #[error("filter cannot be linked: {0}")]
    Link(String),
    /// It trapped (panicked, ran out of memory or fuel). The VM is of no further use.
    #[error("filter trapped: {0}")]
    Trap(String),
    /// It refused its configuration; its log says why.
    #[error("filter refused its configuration:\n{0}")]
    Refused(String),
    /// It never asked for a table; its log.
    #[error("filter asked for no table within two minutes of virtual time; its log:\n{0}")]
    Silent(String),
}

impl HostError {
    #[expect(clippy::needless_pass_by_value, reason = "is the argument of map_err")]
    pub(crate) fn compile(error: wasmtime::Error) -> Self {
        Self::Compile(format!("{error:#}"))
    }

    #[expect(clippy::needless_pass_by_value, reason = "is the argument of map_err")]
    pub(crate) fn link(error: wasmtime::Error) -> Self {
        Self::Link(format!("{error:#}"))
    }
}
