//! The errors of loading and running a VM.

use std::path::PathBuf;

/// Why a filter cannot be loaded, or why it stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The file cannot be read.
    #[error("cannot read filter {}; build it with `cargo xtask wasm`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        source: std::io::Error,
    },
    /// The bytes are no valid wasm module.
    #[error("filter does not compile: {0}")]
    Compile(String),
    /// The module is no proxy-wasm filter.
    #[error("filter is no proxy-wasm 0.2.x module: {0}")]
    Abi(&'static str),
    /// The filter imports a function that this host does not have.
    #[error("filter cannot be linked: {0}")]
    Link(String),
    /// The filter trapped: it panicked, or ran out of memory or fuel. The VM cannot be used any
    /// more.
    #[error("filter trapped: {0}")]
    Trap(String),
    /// The filter refused its configuration. Holds its log, which says why.
    #[error("filter refused its configuration:\n{0}")]
    Refused(String),
    /// The filter never asked for a table. Holds its log.
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
