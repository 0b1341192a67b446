//! A proxy-wasm host on wasmtime, for tests and for trimtab proxy.
