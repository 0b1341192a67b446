//! A model server without a model: [`trimtab_engine`] on the wall clock behind the OpenAI API, reporting like vLLM.
//!
//! **Comes in:** HTTP requests of an OpenAI client, scrapes of `/metrics`. **Goes out:** as many tokens as a vLLM server on that
//! hardware would write, when it would write them; the metrics that it would show. **Never:** meaning. The text is words from a
//! short list; what they are depends on the request alone, so a run can be repeated.
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
//! * `/v1/completions`, `/v1/chat/completions`: plain and as server-sent events. A stream's *headers* leave at once, its first body
//!   chunk when prefill is done. One write per step and stream.
//! * `/v1/responses`: plain, in the background, and as typed events, of which the first two leave before prefill. Responses are kept
//!   in memory (the newest 4,096, 64 MiB) for `previous_response_id` and under `/v1/responses/{id}`: `GET`, `DELETE`, `/cancel`,
//!   `/input_items`. Another server does not know them: 404.
//! * `/v1/models`, `/v1/load_lora_adapter`, `/v1/unload_lora_adapter`, `/health`, `/ping`, `/version`.
//! * `/metrics`: the whole page whatever is asked. `/metrics/` (with the slash) honours `name[]`, which in multi-process mode gives
//!   an empty page. Gauges are set once per step.
//! * A request is read to its end before it is answered, also where the answer is an error.
//! * A client that goes away is cancelled. A prompt that does not fit is a 400 in OpenAI's shape.
//!
//! # Unlike vLLM
//! * **Tokens.** A whitespace-separated word of at most 8 bytes is one token, a longer one is `ceil(bytes / 4)`. A chat message adds
//!   two (its role and its end), the prompt for an answer one.
//! * **Length.** An answer has `max_tokens` tokens with `ignore_eos`, otherwise a length drawn from the request's own hash, so that
//!   some stop early; the same request gets the same answer.
//! * `stop`, `logprobs`, `tools` and sampling parameters are read over. OpenMetrics and gzip are not offered.

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
