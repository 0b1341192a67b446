//! Renders the metrics page: vLLM V1's families in their order.

use super::exposition::{Exposition, Labels, escape};
use super::families::TIMINGS;
use super::{FINISH_REASONS, HttpStats, Observed, process};
use crate::spec::Spec;
use std::collections::BTreeSet;
use trimtab_engine::BLOCK_TOKENS;

/// The server's properties that the page needs, computed once.
#[derive(Debug)]
pub(crate) struct Config {
    /// `model_name="..."`, escaped.
    model: String,
    full: bool,
    multi_process: bool,
    cache_config: String,
    /// Number of LoRA slots. `None` leaves the family out, as vLLM does without `--enable-lora`.
    max_lora: Option<u32>,
    started_unix_s: f64,
}

impl Config {
    pub(crate) fn new(spec: &Spec, started_unix_s: f64) -> Self {
        let profile = spec.effective_profile();
        // vLLM counts a null block that it never hands out.
        let blocks = u64::from(profile.kv_blocks) + 1;
        let cache_config = format!(
            "block_size=\"{BLOCK_TOKENS}\",cache_dtype=\"auto\",calculate_kv_scales=\"False\",cpu_offload_gb=\"0\",\
             enable_prefix_caching=\"True\",engine=\"0\",gpu_memory_utilization=\"0.9\",is_attention_free=\"False\",\
             kv_cache_memory_bytes=\"None\",kv_sharing_fast_prefill=\"False\",mamba_block_size=\"None\",\
             mamba_cache_dtype=\"auto\",num_cpu_blocks=\"None\",num_gpu_blocks=\"{blocks}\",\
             num_gpu_blocks_override=\"None\",prefix_caching_hash_algo=\"sha256\",sliding_window=\"None\",swap_space=\"4\""
        );
        Self {
            model: format!("model_name=\"{}\"", escape(&spec.model)),
            full: spec.metrics.full,
            multi_process: spec.metrics.multi_process,
            cache_config,
            max_lora: (profile.adapter_slots > 0).then_some(profile.adapter_slots),
            started_unix_s,
        }
    }

    /// Returns the labels of a series. `before` stands between `engine` and `model_name`, and
    /// `after` follows them.
    fn labels(&self, before: &str, after: &str) -> String {
        format!("engine=\"0\",{before}{}{after}", self.model)
    }
}

/// The part of the page that a scrape asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scrape<'a> {
    /// `/metrics` with any query.
    Whole,
    /// `/metrics/` with these sample names.
    Named(&'a BTreeSet<String>),
}

/// Renders the page. A multi-process server cannot select by name, so it answers a selection with
/// an empty page.
pub(crate) fn render(
    config: &Config,
    observed: &Observed,
    http: &HttpStats,
    scrape: Scrape<'_>,
) -> String {
    let filter = match scrape {
        Scrape::Named(_) if config.multi_process => return String::new(),
        Scrape::Named(names) => Some(names),
        Scrape::Whole => None,
    };
    let single_full = config.full && !config.multi_process;
    let mut page = Exposition::new(filter, single_full.then_some(config.started_unix_s));
    if single_full {
        process::render(&mut page, config.started_unix_s);
    }
    scheduler(&mut page, config, observed);
    counters(&mut page, config, observed);
    let after_le = format!("{},", config.model);
    let labels = Labels {
        before_le: "engine=\"0\",",
        after_le: &after_le,
    };
    for (family, histogram) in TIMINGS.iter().zip(&observed.histograms) {
        page.histogram(family.name, family.help, labels, histogram);
    }
    page.gauge(
        "vllm:cache_config_info",
        "Information of the LLMEngine CacheConfig",
        &[(config.cache_config.as_str(), 1.0)],
    );
    if let Some(max_lora) = config.max_lora {
        lora(&mut page, max_lora, observed);
    }
    if config.full {
        http.render(&mut page);
    }
    page.finish()
}

fn scheduler(page: &mut Exposition<'_>, config: &Config, observed: &Observed) {
    let gauges = &observed.gauges;
    let plain = config.labels("", "");
    let mut gauge = |name, help, value: f64| page.gauge(name, help, &[(plain.as_str(), value)]);
    gauge(
        "vllm:num_requests_running",
        "Number of requests in model execution batches.",
        f64::from(gauges.running),
    );
    gauge(
        "vllm:num_requests_waiting",
        "Number of requests waiting to be processed.",
        f64::from(gauges.waiting),
    );
    let by_reason = [
        (
            config.labels("", ",reason=\"capacity\""),
            f64::from(gauges.waiting.saturating_sub(gauges.waiting_deferred)),
        ),
        (
            config.labels("", ",reason=\"deferred\""),
            f64::from(gauges.waiting_deferred),
        ),
    ];
    page.gauge(
        "vllm:num_requests_waiting_by_reason",
        "Number of waiting requests by reason. Reason labels: 'capacity' = waiting for scheduling capacity; 'deferred' = deferred by \
         transient constraints (LoRA budget, KV transfer, blocked status). Sum of all reasons equals vllm:num_requests_waiting.",
        &by_reason,
    );
    let sleep_states = [
        ("awake", 1.0),
        ("weights_offloaded", 0.0),
        ("discard_all", 0.0),
    ]
    .map(|(state, value)| {
        (
            config.labels("", &format!(",sleep_state=\"{state}\"")),
            value,
        )
    });
    page.gauge(
        "vllm:engine_sleep_state",
        "Engine sleep state; awake = 0 means engine is sleeping; awake = 1 means engine is awake; weights_offloaded = 1 means sleep \
         level 1; discard_all = 1 means sleep level 2.",
        &sleep_states,
    );
    page.gauge(
        "vllm:kv_cache_usage_perc",
        "KV-cache usage. 1 means 100 percent usage.",
        &[(plain, gauges.kv_used_ratio)],
    );
}

fn counters(page: &mut Exposition<'_>, config: &Config, observed: &Observed) {
    let counters = &observed.counters;
    let plain = config.labels("", "");
    let mut counter =
        |name, help, value: u64| page.counter(name, help, &[(plain.as_str(), value as f64)]);
    counter(
        "vllm:prefix_cache_queries",
        "Prefix cache queries, in terms of number of queried tokens.",
        counters.prefix_query_tokens,
    );
    counter(
        "vllm:prefix_cache_hits",
        "Prefix cache hits, in terms of number of cached tokens.",
        counters.prefix_hit_tokens,
    );
    // vLLM registers these without a connector or images too. This server has neither.
    counter(
        "vllm:external_prefix_cache_queries",
        "External prefix cache queries from KV connector cross-instance cache sharing, in terms of number of queried tokens.",
        0,
    );
    counter(
        "vllm:external_prefix_cache_hits",
        "External prefix cache hits from KV connector cross-instance cache sharing, in terms of number of cached tokens.",
        0,
    );
    counter(
        "vllm:mm_cache_queries",
        "Multi-modal cache queries, in terms of number of queried items.",
        0,
    );
    counter(
        "vllm:mm_cache_hits",
        "Multi-modal cache hits, in terms of number of cached items.",
        0,
    );
    counter(
        "vllm:num_preemptions",
        "Cumulative number of preemption from the engine.",
        counters.preemptions,
    );
    counter(
        "vllm:prompt_tokens",
        "Number of prefill tokens processed.",
        counters.prompt_tokens,
    );
    // Hits count at admission, and the whole prompt at the first token. Between the two the
    // difference could be negative.
    let computed = counters
        .prompt_tokens
        .saturating_sub(counters.prefix_hit_tokens);
    let by_source = [
        ("local_compute", computed),
        ("local_cache_hit", counters.prefix_hit_tokens),
        ("external_kv_transfer", 0),
    ]
    .map(|(source, value)| {
        (
            config.labels("", &format!(",source=\"{source}\"")),
            value as f64,
        )
    });
    page.counter(
        "vllm:prompt_tokens_by_source",
        "Number of prompt tokens by source.",
        &by_source,
    );
    let mut counter =
        |name, help, value: u64| page.counter(name, help, &[(plain.as_str(), value as f64)]);
    counter(
        "vllm:prompt_tokens_cached",
        "Number of cached prompt tokens (local + external).",
        counters.prefix_hit_tokens,
    );
    counter(
        "vllm:generation_tokens",
        "Number of generation tokens processed.",
        counters.generation_tokens,
    );
    let by_reason: Vec<(String, f64)> = FINISH_REASONS
        .iter()
        .zip(observed.finished)
        .map(|(reason, count)| {
            (
                config.labels(&format!("finished_reason=\"{reason}\","), ""),
                count as f64,
            )
        })
        .collect();
    page.counter(
        "vllm:request_success",
        "Count of successfully processed requests.",
        &by_reason,
    );
}

fn lora(page: &mut Exposition<'_>, max_lora: u32, observed: &Observed) {
    let samples: Vec<(String, f64)> = observed
        .lora
        .iter()
        .map(|state| {
            let (running, waiting) = (escape(&state.running), escape(&state.waiting));
            let labels = format!(
                "max_lora=\"{max_lora}\",running_lora_adapters=\"{running}\",waiting_lora_adapters=\"{waiting}\""
            );
            (labels, state.at_unix_s)
        })
        .collect();
    page.gauge(
        "vllm:lora_requests_info",
        "Running stats on lora requests.",
        &samples,
    );
}
