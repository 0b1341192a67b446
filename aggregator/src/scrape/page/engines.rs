//! Says, as data, which series is which signal for each engine.
//!
//! Each signal has a list of alternatives, and the first that a page has counts. Names have changed
//! between releases. One list for all releases means that nobody has to configure the release.
//! Names are written with underscores for colons.

/// Where a signal's value is on a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    /// Name of the series.
    pub(crate) name: &'static str,
    /// Only series with this label and value count. Some engines put the kind of a number into a
    /// label.
    pub(crate) only: Option<(&'static str, &'static str)>,
    /// The value is in this label. Absent: it is the value of the series.
    pub(crate) label: Option<&'static str>,
}

const fn value(name: &'static str) -> Source {
    Source {
        name,
        only: None,
        label: None,
    }
}

const fn label(name: &'static str, label: &'static str) -> Source {
    Source {
        name,
        only: None,
        label: Some(label),
    }
}

const fn only(name: &'static str, label: &'static str, value: &'static str) -> Source {
    Source {
        name,
        only: Some((label, value)),
        label: None,
    }
}

/// The names of a histogram's sum and count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Totals {
    pub(crate) sum: &'static str,
    pub(crate) count: &'static str,
}

macro_rules! totals {
    ($($name:literal),*) => { &[$(Totals { sum: concat!($name, "_sum"), count: concat!($name, "_count") }),*] };
}

/// How one engine names its signals. An empty list means that the engine does not have the signal.
#[derive(Debug)]
pub struct Engine {
    /// The name in the configuration.
    pub name: &'static str,
    pub(crate) waiting: &'static [Source],
    /// Further queues that count as waiting. Disaggregated SGLang keeps requests there.
    pub(crate) also_waiting: &'static [&'static str],
    pub(crate) running: &'static [Source],
    pub(crate) kv_used: &'static [Source],
    pub(crate) kv_blocks: &'static [Source],
    pub(crate) kv_block_tokens: &'static [Source],
    pub(crate) batch_limit: &'static [Source],
    pub(crate) queued_tokens: &'static [Source],
    pub(crate) prompt_tokens: &'static [Source],
    pub(crate) cached_tokens: &'static [Source],
    pub(crate) prefix_queries: &'static [Source],
    pub(crate) prefix_hits: &'static [Source],
    pub(crate) generation_tokens: &'static [Source],
    pub(crate) finished: &'static [Source],
    pub(crate) step_tokens: &'static [Totals],
    pub(crate) ttft_s: &'static [Totals],
    pub(crate) itl_s: &'static [Totals],
    pub(crate) e2e_s: &'static [Totals],
    /// Above 0 while the engine serves.
    pub(crate) awake: &'static [Source],
    /// Series with the labels `running_lora_adapters`, `waiting_lora_adapters` and `max_lora`. The
    /// value is a time.
    pub(crate) adapters: &'static [&'static str],
    /// Series with the labels `adapter_name` and `level` (`gpu` or `cpu`). The value is above 0
    /// while the adapter is loaded there.
    pub(crate) adapters_loaded: &'static [&'static str],
    /// Series that say how many adapters are loaded, also when it is 0. Where they are missing, a
    /// page without series of `adapters_loaded` does not say that nothing is loaded.
    pub(crate) adapters_counted: &'static [&'static str],
    pub(crate) adapter_slots: &'static [Source],
}

const NOTHING: Engine = Engine {
    name: "",
    waiting: &[],
    also_waiting: &[],
    running: &[],
    kv_used: &[],
    kv_blocks: &[],
    kv_block_tokens: &[],
    batch_limit: &[],
    queued_tokens: &[],
    prompt_tokens: &[],
    cached_tokens: &[],
    prefix_queries: &[],
    prefix_hits: &[],
    generation_tokens: &[],
    finished: &[],
    step_tokens: &[],
    ttft_s: &[],
    itl_s: &[],
    e2e_s: &[],
    awake: &[],
    adapters: &[],
    adapters_loaded: &[],
    adapters_counted: &[],
    adapter_slots: &[],
};

/// The start time of the process. Every Python and Go page that is not multi-process has it.
pub(crate) const START_TIME: &str = "process_start_time_seconds";

/// vLLM, V0 and V1, also behind Ray and with the Rust front end.
const VLLM: Engine = Engine {
    name: "vllm",
    waiting: &[value("vllm_num_requests_waiting")],
    running: &[value("vllm_num_requests_running")],
    // The second name is that of releases up to 0.10.
    kv_used: &[
        value("vllm_kv_cache_usage_perc"),
        value("vllm_gpu_cache_usage_perc"),
    ],
    kv_blocks: &[label("vllm_cache_config_info", "num_gpu_blocks")],
    kv_block_tokens: &[label("vllm_cache_config_info", "block_size")],
    prompt_tokens: &[value("vllm_prompt_tokens_total")],
    cached_tokens: &[value("vllm_prompt_tokens_cached_total")],
    // The names with `gpu_` count blocks before 0.9.0 and tokens after it, so they are left out.
    prefix_queries: &[value("vllm_prefix_cache_queries_total")],
    prefix_hits: &[value("vllm_prefix_cache_hits_total")],
    generation_tokens: &[value("vllm_generation_tokens_total")],
    // Counts requests that ended for any reason, also failed ones, in spite of the name.
    finished: &[value("vllm_request_success_total")],
    step_tokens: totals!["vllm_iteration_tokens_total"],
    ttft_s: totals!["vllm_time_to_first_token_seconds"],
    // The second name is that of releases up to 0.14, for the same observations.
    itl_s: totals![
        "vllm_inter_token_latency_seconds",
        "vllm_time_per_output_token_seconds"
    ],
    e2e_s: totals!["vllm_e2e_request_latency_seconds"],
    // 0 after `POST /sleep`: the server has given away the weights or all memory.
    awake: &[only("vllm_engine_sleep_state", "sleep_state", "awake")],
    adapters: &["vllm_lora_requests_info"],
    // The next three are to replace it. Servers with that change have both.
    adapters_loaded: &["vllm_lora_adapter_loaded"],
    adapters_counted: &["vllm_num_gpu_loaded_lora_adapters"],
    adapter_slots: &[value("vllm_max_gpu_lora_adapters")],
    ..NOTHING
};

/// SGLang's `/metrics`, and the names of `/v1/loads?format=prometheus`, which differ.
const SGLANG: Engine = Engine {
    name: "sglang",
    waiting: &[
        value("sglang_num_queue_reqs"),
        value("sglang_num_waiting_reqs"),
        value("sglang_queue_req"),
        value("sglang_num_requests_waiting"),
    ],
    also_waiting: &[
        "sglang_num_grammar_queue_reqs",
        "sglang_num_prefill_bootstrap_queue_reqs",
        "sglang_num_prefill_prealloc_queue_reqs",
        "sglang_num_decode_prealloc_queue_reqs",
        "sglang_num_decode_transfer_queue_reqs",
    ],
    running: &[
        value("sglang_num_running_reqs"),
        value("sglang_num_requests_running"),
    ],
    kv_used: &[value("sglang_token_usage")],
    kv_blocks: &[
        value("sglang_num_pages"),
        label("sglang_cache_config_info", "num_pages"),
    ],
    kv_block_tokens: &[
        value("sglang_page_size"),
        label("sglang_cache_config_info", "page_size"),
    ],
    batch_limit: &[value("sglang_max_running_requests")],
    queued_tokens: &[value("sglang_num_waiting_uncached_tokens")],
    prompt_tokens: &[value("sglang_prompt_tokens_total")],
    cached_tokens: &[value("sglang_cached_tokens_total")],
    generation_tokens: &[value("sglang_generation_tokens_total")],
    finished: &[value("sglang_num_requests_total")],
    ttft_s: totals!["sglang_time_to_first_token_seconds"],
    itl_s: totals![
        "sglang_inter_token_latency_seconds",
        "sglang_time_per_output_token_seconds"
    ],
    e2e_s: totals!["sglang_e2e_request_latency_seconds"],
    ..NOTHING
};

/// TensorRT-LLM's own server; its Prometheus page is `/prometheus/metrics`.
const TRTLLM: Engine = Engine {
    name: "trtllm-serve",
    waiting: &[value("trtllm_num_requests_waiting")],
    running: &[value("trtllm_num_requests_running")],
    kv_used: &[value("trtllm_kv_cache_utilization")],
    kv_blocks: &[value("trtllm_kv_cache_max_blocks")],
    kv_block_tokens: &[value("trtllm_kv_cache_tokens_per_block")],
    batch_limit: &[value("trtllm_max_num_active_requests")],
    prompt_tokens: &[value("trtllm_prompt_tokens_total")],
    cached_tokens: &[value("trtllm_prompt_cached_tokens_total")],
    generation_tokens: &[value("trtllm_generation_tokens_total")],
    finished: &[value("trtllm_request_success_total")],
    ttft_s: totals!["trtllm_time_to_first_token_seconds"],
    itl_s: totals!["trtllm_time_per_output_token_seconds"],
    e2e_s: totals!["trtllm_e2e_request_latency_seconds"],
    ..NOTHING
};

/// Triton with the TensorRT-LLM backend, port 8002.
const TRITON: Engine = Engine {
    name: "triton-tensorrt-llm",
    waiting: &[only(
        "nv_trt_llm_request_metrics",
        "request_type",
        "waiting",
    )],
    running: &[only(
        "nv_trt_llm_request_metrics",
        "request_type",
        "scheduled",
    )],
    kv_used: &[only(
        "nv_trt_llm_kv_cache_block_metrics",
        "kv_cache_block_type",
        "fraction",
    )],
    kv_blocks: &[only(
        "nv_trt_llm_kv_cache_block_metrics",
        "kv_cache_block_type",
        "max",
    )],
    kv_block_tokens: &[only(
        "nv_trt_llm_kv_cache_block_metrics",
        "kv_cache_block_type",
        "tokens_per",
    )],
    batch_limit: &[only("nv_trt_llm_request_metrics", "request_type", "max")],
    ..NOTHING
};

/// Hugging Face TGI. It has no KV ratio, and its counters' names lack `_total`.
const TGI: Engine = Engine {
    name: "tgi",
    waiting: &[value("tgi_queue_size")],
    running: &[value("tgi_batch_current_size")],
    prompt_tokens: &[value("tgi_request_input_length_sum")],
    generation_tokens: &[value("tgi_request_generated_tokens_sum")],
    finished: &[value("tgi_request_success")],
    itl_s: totals!["tgi_request_mean_time_per_token_duration"],
    e2e_s: totals!["tgi_request_duration"],
    ..NOTHING
};

/// llama.cpp. Its two rate gauges are left out because they reset at each scrape.
const LLAMACPP: Engine = Engine {
    name: "llamacpp",
    waiting: &[value("llamacpp_requests_deferred")],
    running: &[value("llamacpp_requests_processing")],
    kv_used: &[value("llamacpp_kv_cache_usage_ratio")],
    prompt_tokens: &[value("llamacpp_prompt_tokens_total")],
    generation_tokens: &[value("llamacpp_tokens_predicted_total")],
    ..NOTHING
};

/// LMDeploy: vLLM's names with a prefix of its own.
const LMDEPLOY: Engine = Engine {
    name: "lmdeploy",
    waiting: &[value("lmdeploy_num_requests_waiting")],
    running: &[value("lmdeploy_num_requests_running")],
    kv_used: &[value("lmdeploy_gpu_cache_usage_perc")],
    prompt_tokens: &[value("lmdeploy_prompt_tokens_total")],
    generation_tokens: &[value("lmdeploy_generation_tokens_total")],
    finished: &[value("lmdeploy_request_success_total")],
    ttft_s: totals!["lmdeploy_time_to_first_token_seconds"],
    itl_s: totals!["lmdeploy_time_per_output_token_seconds"],
    ..NOTHING
};

/// NVIDIA NIM: vLLM's names without a prefix. It is tried last, because other programs may use
/// these names.
const NIM: Engine = Engine {
    name: "nim",
    waiting: &[value("num_requests_waiting")],
    running: &[value("num_requests_running")],
    kv_used: &[value("gpu_cache_usage_perc")],
    batch_limit: &[value("num_request_max")],
    prompt_tokens: &[value("prompt_tokens_total")],
    generation_tokens: &[value("generation_tokens_total")],
    finished: &[value("request_finish_total")],
    ttft_s: totals!["time_to_first_token_seconds"],
    itl_s: totals!["time_per_output_token_seconds"],
    e2e_s: totals!["e2e_request_latency_seconds"],
    ..NOTHING
};

impl Engine {
    /// All engines, in the order in which they are tried on a page.
    pub const ALL: [&'static Self; 8] = [
        &VLLM, &SGLANG, &TRTLLM, &TRITON, &TGI, &LLAMACPP, &LMDEPLOY, &NIM,
    ];

    /// Returns the engine with this name in the configuration.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        Self::ALL.into_iter().find(|engine| engine.name == name)
    }

    /// Returns the series that the engine's signals need. A name may come up twice.
    pub(crate) fn series(&self) -> impl Iterator<Item = &'static str> {
        let single = [
            self.waiting,
            self.running,
            self.kv_used,
            self.kv_blocks,
            self.kv_block_tokens,
            self.batch_limit,
            self.queued_tokens,
            self.prompt_tokens,
            self.cached_tokens,
            self.prefix_queries,
            self.prefix_hits,
            self.generation_tokens,
            self.finished,
            self.awake,
            self.adapter_slots,
        ];
        let totals = [self.step_tokens, self.ttft_s, self.itl_s, self.e2e_s];
        single
            .into_iter()
            .flatten()
            .map(|source| source.name)
            .chain(self.also_waiting.iter().copied())
            .chain(
                totals
                    .into_iter()
                    .flatten()
                    .flat_map(|totals| [totals.sum, totals.count]),
            )
            .chain(self.adapters.iter().copied())
            .chain(self.adapters_loaded.iter().copied())
            .chain(self.adapters_counted.iter().copied())
            .chain([START_TIME])
    }

    /// Returns the names of these series as the server writes them, for its `name[]` selection.
    pub(crate) fn names_on_page(&self) -> Vec<String> {
        let prefix = match self.name {
            "vllm" | "sglang" | "llamacpp" | "lmdeploy" => format!("{}_", self.name),
            _ => String::new(),
        };
        let mut names: Vec<String> = self
            .series()
            .map(|series| match series.strip_prefix(prefix.as_str()) {
                Some(rest) if !prefix.is_empty() => format!("{}:{rest}", self.name),
                _ => series.to_owned(),
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl PartialEq for Engine {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Engine {}
