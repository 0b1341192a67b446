//! The LoRA adapters that a server knows by name.

use crate::spec::{ADAPTER_LIMIT, NAME_LIMIT_BYTES};
use std::collections::BTreeMap;

/// The adapters' names and the numbers that the engine knows them by. A number is never used again.
/// An adapter that is loaded again may have other weights, so it must not share the old cache.
#[derive(Debug, Default)]
pub(crate) struct Adapters {
    by_name: BTreeMap<String, Adapter>,
    next: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Adapter {
    pub(crate) id: u32,
    pub(crate) path: String,
}

/// Why an adapter was not loaded.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("Both 'lora_name' and 'lora_path' must be provided.")]
    Missing,
    #[error(
        "'lora_name' and 'lora_path' must be at most {NAME_LIMIT_BYTES} bytes without control characters."
    )]
    BadName,
    #[error("The lora adapter '{0}' has already been loaded.")]
    AlreadyLoaded(String),
    #[error("The server holds {ADAPTER_LIMIT} adapters; unload one first.")]
    Full,
}

impl Adapters {
    pub(crate) fn load(&mut self, name: &str, path: &str) -> Result<u32, LoadError> {
        if name.is_empty() || path.is_empty() {
            return Err(LoadError::Missing);
        }
        if [name, path]
            .iter()
            .any(|s| s.len() > NAME_LIMIT_BYTES || s.chars().any(char::is_control))
        {
            return Err(LoadError::BadName);
        }
        if self.by_name.contains_key(name) {
            return Err(LoadError::AlreadyLoaded(name.to_owned()));
        }
        if self.by_name.len() >= ADAPTER_LIMIT {
            return Err(LoadError::Full);
        }
        let id = self.next;
        self.next += 1;
        self.by_name.insert(
            name.to_owned(),
            Adapter {
                id,
                path: path.to_owned(),
            },
        );
        Ok(id)
    }

    pub(crate) fn unload(&mut self, name: &str) -> Option<u32> {
        self.by_name.remove(name).map(|adapter| adapter.id)
    }

    pub(crate) fn id(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).map(|adapter| adapter.id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Adapter)> {
        self.by_name
            .iter()
            .map(|(name, adapter)| (name.as_str(), adapter))
    }

    /// Returns the names of the adapters with these numbers, each once, sorted and joined by
    /// commas, as in vLLM's label.
    pub(crate) fn joined(&self, ids: impl Iterator<Item = u32>) -> String {
        let mut wanted: Vec<u32> = ids.collect();
        wanted.sort_unstable();
        let names = self
            .iter()
            .filter(|(_, adapter)| wanted.binary_search(&adapter.id).is_ok());
        names.map(|(name, _)| name).collect::<Vec<_>>().join(",")
    }
}
