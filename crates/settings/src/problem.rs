//! The problems of settings, in words for the person who wrote them.

use serde_json::Value;
use std::fmt;

/// Problems that are kept. Further ones are only counted.
const MAX_PROBLEMS: usize = 64;
/// Characters of a value or a name that a problem repeats.
const MAX_ECHO_CHARS: usize = 48;

/// One thing to correct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The place, as in `pools[0].scrape.interval`. Empty for the document itself.
    pub path: String,
    /// The value there, shortened. `None` if there was none.
    pub value: Option<String>,
    /// Why it cannot be used.
    pub reason: String,
    /// What to write instead.
    pub fix: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() {
            "settings"
        } else {
            &self.path
        };
        match &self.value {
            Some(value) => write!(f, "{path}: {value}: {}", self.reason)?,
            None => write!(f, "{path}: {}", self.reason)?,
        }
        if self.fix.is_empty() {
            Ok(())
        } else {
            write!(f, "; {}", self.fix)
        }
    }
}

/// All problems of one document, in the order of reading. Never empty when returned as an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems {
    kept: Vec<Problem>,
    dropped: usize,
}

impl Problems {
    /// Makes a single problem that was found outside of [`crate::Settings`], for example text that
    /// is not JSON.
    pub fn one(path: impl Into<String>, reason: impl Into<String>, fix: impl Into<String>) -> Self {
        let problem = Problem {
            path: path.into(),
            value: None,
            reason: reason.into(),
            fix: fix.into(),
        };
        Self {
            kept: vec![problem],
            dropped: 0,
        }
    }

    /// Returns the number of problems, including those beyond the 64 that are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len().saturating_add(self.dropped)
    }

    /// Returns whether there are no problems.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Returns the first 64 problems, in the order of reading.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.kept.iter()
    }

    pub(crate) fn push(&mut self, problem: Problem) {
        if self.kept.len() < MAX_PROBLEMS {
            self.kept.push(problem);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.kept.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        if self.dropped > 0 {
            write!(f, "\nand {} more", self.dropped)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Returns a value as problems show it. A scalar is shown itself, a container only by kind and
/// size. So nothing large or deep is walked.
pub(crate) fn echo(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("\"{}\"", shorten(text)),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(fields) if fields.len() == 1 => "an object of 1 field".into(),
        Value::Object(fields) => format!("an object of {} fields", fields.len()),
    }
}

/// Returns at most [`MAX_ECHO_CHARS`] characters, with control characters escaped. Problems go into
/// logs, so `***` replaces everything before an `@`. In URLs that may be a name and a password.
pub(crate) fn shorten(text: &str) -> String {
    let at = text.bytes().rposition(|byte| byte == b'@');
    let (mut short, text) = match at.and_then(|at| text.get(at..)) {
        Some(rest) => ("***".to_owned(), rest),
        None => (String::new(), text),
    };
    let shown = text.chars().take(MAX_ECHO_CHARS);
    short.extend(shown.flat_map(char::escape_debug));
    if text.chars().nth(MAX_ECHO_CHARS).is_some() {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn what_stands_before_an_at_sign_is_not_echoed() {
        for (text, expected) in [
            ("http://ann:secret@host:1/m", "***@host:1/m"),
            ("http://ann:se/cr@et@host:1/m", "***@host:1/m"),
            ("token@host", "***@host"),
            ("http://host/m", "http://host/m"),
        ] {
            assert_eq!(shorten(text), expected);
        }
    }
}
