//! The response object.

use super::request::Asked;
use crate::api::prepare::Job;
use crate::metrics::Finish;
use serde_json::{Value, json};

/// The parts of a response object that stay the same from its beginning to its end.
#[derive(Debug)]
pub(super) struct Template {
    base: Value,
    message_id: String,
}

/// The progress of a response.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome<'a> {
    /// No part of the answer is there. The text is the status: `queued` or `in_progress`.
    Open(&'static str),
    /// All tokens are there.
    Done(&'a Job),
    /// The engine stopped before the end.
    Failed,
}

/// Returns the words of a job that is done.
pub(super) fn text(job: &Job) -> String {
    let choice = job.choices.first();
    choice.map_or_else(String::new, |choice| {
        choice.answer.text(choice.output_tokens, false)
    })
}

/// Returns one part of a message's content.
pub(super) fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

impl Template {
    pub(super) fn new(job: &Job, asked: &Asked) -> Self {
        let base = json!({
            "id": job.id, "object": "response", "created_at": job.created_unix_s, "status": null, "background": asked.background,
            "error": null, "incomplete_details": null, "instructions": asked.instructions,
            "max_output_tokens": asked.max_output_tokens, "model": job.model, "output": [], "parallel_tool_calls": true,
            "previous_response_id": asked.previous_response_id, "reasoning": {"effort": null, "summary": null},
            "service_tier": "auto", "store": asked.store, "temperature": 1.0, "text": {"format": {"type": "text"}},
            "tool_choice": "auto", "tools": [], "top_p": 1.0, "truncation": "disabled", "usage": null, "user": null,
            "metadata": asked.metadata,
        });
        // `resp_` becomes `msg_`, because each response has one message.
        let number = job.id.trim_start_matches("resp_");
        Self {
            base,
            message_id: format!("msg_{number}"),
        }
    }

    pub(super) fn message_id(&self) -> &str {
        &self.message_id
    }

    /// Returns the message with the answer.
    pub(super) fn message(&self, status: &str, content: &[Value]) -> Value {
        json!({"id": self.message_id, "type": "message", "status": status, "role": "assistant", "content": content})
    }

    pub(super) fn value(&self, outcome: Outcome<'_>) -> Value {
        let mut value = self.base.clone();
        match outcome {
            Outcome::Open(status) => value["status"] = status.into(),
            Outcome::Failed => {
                value["status"] = "failed".into();
                value["error"] = json!({"code": "server_error", "message": "The engine stopped before the answer was complete."});
            }
            Outcome::Done(job) => {
                let status = status(job);
                value["status"] = status.into();
                if status == "incomplete" {
                    value["incomplete_details"] = json!({"reason": "max_output_tokens"});
                }
                value["output"] = json!([self.message(status, &[part(&text(job))])]);
                value["usage"] = usage(job);
            }
        }
        value
    }
}

/// Returns `completed`, or `incomplete` if the answer reached its length limit.
pub(super) fn status(job: &Job) -> &'static str {
    match job.choices.first().map(|choice| choice.finish) {
        Some(Finish::Length) => "incomplete",
        _ => "completed",
    }
}

fn usage(job: &Job) -> Value {
    let (input, output) = (job.prompt_tokens, job.completion_tokens());
    json!({
        "input_tokens": input, "input_tokens_details": {"cached_tokens": job.cached_tokens()}, "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": input + output,
    })
}
