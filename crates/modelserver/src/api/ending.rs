//! The end of a job in the terms of the API.

use super::prepare::Job;
use crate::metrics::Finish;
use serde_json::{Value, json};

/// Returns the `usage` object of a job that is done.
pub(super) fn usage(job: &Job) -> Value {
    let (prompt, completion) = (job.prompt_tokens, job.completion_tokens());
    json!({
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": job.cached_tokens()},
    })
}

/// Returns the API's word for the end of an answer.
pub(super) fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::Abort => "abort",
    }
}
