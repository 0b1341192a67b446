//! Which API was asked, and what one answer is.

use crate::metrics::Finish;
use crate::text::Answer;

/// Which of the endpoints was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Completion,
    Chat,
    Response,
}

impl Kind {
    /// How the ids of its answers begin.
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
