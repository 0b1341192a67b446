//! The description of one model server.

use std::net::{IpAddr, Ipv4Addr};
use trimtab_engine::Profile;

/// Longest name of a server, a model or an adapter, in bytes. Names appear in every response and in
/// labels.
pub(crate) const NAME_LIMIT_BYTES: usize = 256;
/// Most adapters that one server knows.
pub(crate) const ADAPTER_LIMIT: usize = 1_024;

/// One model server. Every field may be changed after [`Spec::new`]. [`Spec::check`] finds what is
/// invalid.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Name for people and logs. Clients do not see it.
    pub name: String,
    /// Model name that clients ask for (vLLM `--served-model-name`).
    pub model: String,
    /// LoRA adapters known at the start. More can be loaded over HTTP, unless the profile has no
    /// slots.
    pub adapters: Vec<String>,
    /// The hardware.
    pub profile: Profile,
    /// Factor of the profile's speed. 0.4 is 2.5 times slower. More than 0.
    pub speed: f64,
    /// KV cache in blocks of 16 tokens. `None` keeps the profile's.
    pub kv_blocks: Option<u32>,
    /// Most tokens of prompt and answer together. A small KV cache may lower this (see
    /// [`Spec::context_tokens`]).
    pub max_model_len: u32,
    /// Address to listen on.
    pub address: IpAddr,
    /// Port to listen on. 0 takes a free one.
    pub port: u16,
    /// How `/metrics` behaves.
    pub metrics: MetricsPage,
    /// Largest request body in bytes. Larger bodies get a 413.
    pub max_body_bytes: usize,
    /// Most sequences waiting and running. Further requests get a 503. A real server has no such
    /// limit; this one bounds its memory.
    pub max_sequences: usize,
}

/// How `/metrics` behaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MetricsPage {
    /// Behave as with `--api-server-count` above 1: `name[]` gives 200 and an empty page, and there
    /// are no `_created` samples.
    pub multi_process: bool,
    /// Also show what a Python process adds to the engine's families: `_created` samples,
    /// `python_*`, `process_*`, `http_*`. The page then has about 50 KB.
    pub full: bool,
}

impl Spec {
    /// Describes a server on a free port of 127.0.0.1 with the profile's own speed and memory.
    #[must_use]
    pub fn new(name: impl Into<String>, profile: Profile) -> Self {
        Self {
            name: name.into(),
            model: "meta-llama/Llama-3.1-8B-Instruct".to_owned(),
            adapters: Vec::new(),
            profile,
            speed: 1.0,
            kv_blocks: None,
            max_model_len: 32_768,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            metrics: MetricsPage::default(),
            max_body_bytes: 16 << 20,
            max_sequences: 16_384,
        }
    }

    /// Returns the profile with the spec's overrides.
    #[must_use]
    pub fn effective_profile(&self) -> Profile {
        let mut profile = self.profile.clone();
        profile.speed *= self.speed;
        profile.kv_blocks = self.kv_blocks.unwrap_or(profile.kv_blocks);
        profile
    }

    /// Returns the most tokens of prompt and answer together: `max_model_len`, or the KV cache if
    /// it is smaller. vLLM refuses to start with such a small cache. Here it is a way to make an
    /// uneven fleet.
    #[must_use]
    pub fn context_tokens(&self) -> u32 {
        let kv_tokens = self.effective_profile().kv_tokens();
        u32::try_from(kv_tokens).map_or(self.max_model_len, |kv| kv.min(self.max_model_len))
    }

    /// Checks all fields.
    ///
    /// # Errors
    /// Returns every problem, not only the first.
    pub fn check(&self) -> Result<(), SpecError> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, problem: String| {
            if !holds {
                problems.push(problem);
            }
        };
        let names = [("name", &self.name), ("model", &self.model)];
        let adapters = self.adapters.iter().map(|name| ("adapters", name));
        for (field, name) in names.into_iter().chain(adapters) {
            let fits =
                (1..=NAME_LIMIT_BYTES).contains(&name.len()) && !name.chars().any(char::is_control);
            require(
                fits,
                format!(
                    "{field}: {name:?} must be 1 to {NAME_LIMIT_BYTES} bytes without control characters"
                ),
            );
        }
        require(
            self.adapters.len() <= ADAPTER_LIMIT,
            format!(
                "adapters: {} is too many, at most {ADAPTER_LIMIT}",
                self.adapters.len()
            ),
        );
        require(
            self.adapters.is_empty() || self.profile.adapter_slots > 0,
            "adapters: the profile has no adapter_slots; set them or name no adapter".to_owned(),
        );
        require(
            self.max_model_len >= 2,
            format!("max_model_len: {} must be at least 2", self.max_model_len),
        );
        require(
            self.max_body_bytes >= 1,
            "max_body_bytes: 0 refuses every request".to_owned(),
        );
        require(
            self.max_sequences >= 1,
            "max_sequences: 0 refuses every request".to_owned(),
        );
        if let Err(problem) = self.effective_profile().check() {
            problems.push(problem.to_string());
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(SpecError {
                name: self.name.clone(),
                problems,
            })
        }
    }
}

/// The problems of a [`Spec`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("model server {name:?}: {}", problems.join("; "))]
pub struct SpecError {
    /// The server's name.
    pub name: String,
    /// One sentence per problem: the field, its value and what is allowed.
    pub problems: Vec<String>,
}
