//! The kind of API that was asked, and one answer.

use crate::metrics::Finish;
use crate::text::Answer;

/// The API that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Completion,
    Chat,
    Response,
}

impl Kind {
    /// Returns the beginning of the ids of its answers.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Completion => "cmpl-",
            Self::Chat => "chatcmpl-",
            Self::Response => "resp_",
        }
    }
}

/// One answer of a job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub(super) answer: Answer,
    pub(super) output_tokens: u32,
    pub(super) finish: Finish,
}
