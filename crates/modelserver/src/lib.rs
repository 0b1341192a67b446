//! A model server without a model: [`trimtab_engine`] on the wall clock behind the OpenAI API, with
//! vLLM's metrics.
//!
//! - **Comes in:** HTTP requests of OpenAI clients, and scrapes of `/metrics`.
//! - **Goes out:** as many tokens as a vLLM server on that hardware would write, at the times when
//!   it would write them, and the metrics that it would show.
//! - **Never:** meaning. The text is words from a short list. The words depend on the request
//!   alone, so a run can be repeated.
//!
//! ```no_run
//! # async fn example() -> Result<(), trimtab_modelserver::StartError> {
//! use trimtab_modelserver::{Profile, Server, Spec};
//!
//! let spec = Spec { speed: 0.4, ..Spec::new("slow-0", Profile::named("a100").unwrap()) };
//! let server = Server::start(spec).await?;
//! println!("http://{}/v1", server.address());
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Like vLLM (V1 engine, releases of 2026)
//! * `/v1/completions`, `/v1/chat/completions`: plain and as server-sent events. The *headers* of a
//!   stream leave at once, its first body chunk when prefill is done. A stream has one write per
//!   step.
//! * `/v1/responses`: plain, in the background, and as typed events. The first two events leave
//!   before prefill. The server keeps responses in memory (the newest 4,096, up to 64 MiB) for
//!   `previous_response_id` and under `/v1/responses/{id}`: `GET`, `DELETE`, `/cancel`,
//!   `/input_items`. Another server does not know them and answers 404.
//! * `/v1/models`, `/v1/load_lora_adapter`, `/v1/unload_lora_adapter`, `/health`, `/ping`,
//!   `/version`.
//! * `/metrics`: the whole page for any query. `/metrics/` (with the slash) honours `name[]`. In
//!   multi-process mode `name[]` gives an empty page. Gauges are set once per step.
//! * A request is read to its end before it is answered, also with an error.
//! * The sequences of a client that goes away are cancelled. A prompt that does not fit gets a 400
//!   in OpenAI's shape.
//!
//! # Unlike vLLM
//! * **Tokens.** A whitespace-separated word of at most 8 bytes is one token. A longer word is
//!   `ceil(bytes / 4)` tokens. A chat message adds two tokens (its role and its end), and the
//!   beginning of the answer adds one.
//! * **Length.** With `ignore_eos` an answer has `max_tokens` tokens. Otherwise the request's own
//!   hash determines the length, so some answers stop early. The same request gets the same answer.
//! * `stop`, `logprobs`, `tools` and sampling parameters are ignored. OpenMetrics and gzip are not
//!   offered.

pub mod cli;

mod adapters;
mod api;
mod call;
mod driver;
mod metrics;
mod server;
mod spec;
mod text;

pub use server::{Server, StartError};
pub use spec::{MetricsPage, Spec, SpecError};
pub use trimtab_engine::Profile;
