//! Compiles a filter once for all VMs.

use std::path::Path;

use wasmtime::{Config, Engine, ExportType, OptLevel};

use crate::error::HostError;

/// Limits for every VM of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of linear memory. Growing beyond this fails in the guest.
    pub memory_bytes: usize,
    /// Most wasm instructions (roughly) in one callback. A callback that needs more traps. `None`
    /// sets no limit: then nothing is counted, and the code is a tenth to a third faster.
    pub fuel_per_callback: Option<u64>,
}

impl Default for Limits {
    /// Returns 128 MiB and 2,000 million instructions. This is far more than a filter may need, and
    /// low enough to stop an endless loop.
    fn default() -> Self {
        Self {
            memory_bytes: 128 << 20,
            fuel_per_callback: Some(2_000_000_000),
        }
    }
}

/// A compiled filter. A clone is cheap, and VMs on any thread can be made from it.
#[derive(Debug, Clone)]
pub struct Module {
    pub(crate) module: wasmtime::Module,
    pub(crate) limits: Limits,
}

impl Module {
    /// Compiles `wasm` (binary form).
    ///
    /// # Errors
    /// Returns [`HostError::Compile`] if it is no valid module, and [`HostError::Abi`] if it is no
    /// proxy-wasm 0.2.x module.
    pub fn from_bytes(wasm: &[u8], limits: Limits) -> Result<Self, HostError> {
        let mut config = Config::new();
        config.cranelift_opt_level(OptLevel::Speed);
        config.consume_fuel(limits.fuel_per_callback.is_some());
        if !wasm.starts_with(b"\0asm") {
            let what = "it is no Wasm module; build it with `cargo xtask wasm`";
            return Err(HostError::Compile(what.to_owned()));
        }
        let engine = Engine::new(&config).map_err(HostError::compile)?;
        let module = wasmtime::Module::new(&engine, wasm).map_err(HostError::compile)?;
        let own = Self { module, limits };
        own.check_exports()?;
        Ok(own)
    }

    /// Compiles the file at `path`.
    ///
    /// # Errors
    /// Returns [`HostError::Read`] if the file cannot be read. Otherwise as [`Self::from_bytes`].
    pub fn from_file(path: impl AsRef<Path>, limits: Limits) -> Result<Self, HostError> {
        let path = path.as_ref();
        let wasm = std::fs::read(path).map_err(|source| HostError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        Self::from_bytes(&wasm, limits)
    }

    /// Returns the names of the guest's exports.
    pub fn exports(&self) -> impl Iterator<Item = &str> {
        self.module
            .exports()
            .map(|export: ExportType<'_>| export.name())
    }

    fn check_exports(&self) -> Result<(), HostError> {
        let has = |names: &[&str]| self.exports().any(|export| names.contains(&export));
        if !has(&["proxy_abi_version_0_2_0", "proxy_abi_version_0_2_1"]) {
            return Err(HostError::Abi(
                "it exports no proxy_abi_version_0_2_0 or ..._0_2_1",
            ));
        }
        if !has(&["malloc", "proxy_on_memory_allocate"]) {
            return Err(HostError::Abi(
                "it exports neither malloc nor proxy_on_memory_allocate",
            ));
        }
        if !has(&["memory"]) {
            return Err(HostError::Abi("it exports no memory"));
        }
        Ok(())
    }
}
