//! What is wrong, and what to do about it.

use std::fmt;

use serde::Serialize;

use super::resource::Resource;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// Requests are not placed, or may fail.
    Error,
    /// Some requests are not placed, or something may go wrong later.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// Name of the rule, for scripts.
    pub(super) rule: &'static str,
    /// Kind, namespace and name of the object.
    pub(super) object: String,
    /// Where the object was read.
    pub(super) file: String,
    pub(super) problem: String,
    pub(super) remedy: String,
    /// Place in the documents.
    pub(super) see: &'static str,
}

impl Finding {
    pub(super) fn error(
        rule: &'static str,
        of: &Resource,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Level::Error, rule, of, problem.into(), remedy.into())
    }

    pub(super) fn warning(
        rule: &'static str,
        of: &Resource,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Level::Warning, rule, of, problem.into(), remedy.into())
    }

    fn new(
        level: Level,
        rule: &'static str,
        of: &Resource,
        problem: String,
        remedy: String,
    ) -> Self {
        Self {
            level,
            rule,
            object: of.to_string(),
            file: of.file.clone(),
            problem,
            remedy,
            see: "docs/istio.md#when-something-breaks",
        }
    }

    /// Names another place in the documents.
    pub(super) fn see(self, see: &'static str) -> Self {
        Self { see, ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        write!(
            f,
            "{level}: {}: {}: {}\n  do: {}\n  see: {}",
            self.rule, self.object, self.problem, self.remedy, self.see
        )
    }
}
