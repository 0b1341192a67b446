//! One field, on its way from JSON to a typed value.

use crate::address::address;
use crate::describe::Notes;
use crate::problem::{Problem, Problems};
use std::cell::RefCell;
use std::fmt::{self, Debug, Display};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

/// What the document has at a field.
enum Found<T> {
    Missing,
    /// Missing because its object is missing, which is already a problem.
    Quiet,
    Value(T),
    Wrong(String),
}

/// A field that a reader asked for. Add what is allowed, then end with
/// [`required`](Field::required), [`default`](Field::default) or [`optional`](Field::optional).
/// These record the problem if there is one.
#[must_use = "end with required(), default() or optional(): only they record problems"]
pub struct Field<T> {
    found: Found<T>,
    path: String,
    echo: Option<String>,
    expected: &'static str,
    hint: String,
    problems: Rc<RefCell<Problems>>,
    notes: Notes,
}

impl<T: Debug> Debug for Field<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Field")
            .field("path", &self.path)
            .field("value", &self.echo)
            .finish_non_exhaustive()
    }
}

impl<T> Field<T> {
    pub(crate) fn quiet(path: String, problems: Rc<RefCell<Problems>>) -> Self {
        Self {
            found: Found::Quiet,
            path,
            echo: None,
            expected: "",
            hint: String::new(),
            problems,
            notes: Notes::default(),
        }
    }

    pub(crate) fn missing(
        path: String,
        expected: &'static str,
        problems: Rc<RefCell<Problems>>,
    ) -> Self {
        Self {
            found: Found::Missing,
            path,
            echo: None,
            expected,
            hint: String::new(),
            problems,
            notes: Notes::default(),
        }
    }

    /// Makes a field with a value. `value` is an error if the document has another type than
    /// `expected`.
    pub(crate) fn read(
        value: Result<T, String>,
        path: String,
        echo: String,
        expected: &'static str,
        problems: Rc<RefCell<Problems>>,
    ) -> Self {
        let found = value.map_or_else(Found::Wrong, Found::Value);
        Self {
            found,
            path,
            echo: Some(echo),
            expected,
            hint: String::new(),
            problems,
            notes: Notes::default(),
        }
    }

    /// Sets what a user should write, for a field that is missing or wrong.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Refuses a value if `check` returns an error, which is the reason.
    pub fn check<E: Display>(self, check: impl FnOnce(&T) -> Result<(), E>) -> Self {
        self.map(|value| check(&value).map(|()| value))
    }

    /// Converts the value. An error of `convert` is a problem of this field.
    pub fn map<U, E: Display>(self, convert: impl FnOnce(T) -> Result<U, E>) -> Field<U> {
        let found = match self.found {
            Found::Value(value) => match convert(value) {
                Ok(converted) => Found::Value(converted),
                Err(error) => Found::Wrong(error.to_string()),
            },
            Found::Missing => Found::Missing,
            Found::Quiet => Found::Quiet,
            Found::Wrong(reason) => Found::Wrong(reason),
        };
        let Self {
            path,
            echo,
            expected,
            hint,
            problems,
            notes,
            ..
        } = self;
        Field {
            found,
            path,
            echo,
            expected,
            hint,
            problems,
            notes,
        }
    }

    /// Adds the place of the field's description.
    #[inline]
    pub(crate) fn with_notes(mut self, notes: Notes) -> Self {
        self.notes = notes;
        self
    }

    /// Returns the value. Returns `None` if the field is missing, or has a problem, which is
    /// recorded.
    #[must_use]
    pub fn optional(self) -> Option<T> {
        match self.found {
            Found::Value(value) => Some(value),
            Found::Missing | Found::Quiet => None,
            Found::Wrong(reason) => {
                let problem = Problem {
                    path: self.path,
                    value: self.echo,
                    reason,
                    fix: self.hint,
                };
                self.problems.borrow_mut().push(problem);
                None
            }
        }
    }

    /// Returns the value. Returns `default` if the field is missing, or has a problem, which is
    /// recorded.
    #[must_use]
    pub fn default(self, default: T) -> T
    where
        T: Debug,
    {
        self.notes.absent(&default);
        self.optional().unwrap_or(default)
    }

    /// Does the same as [`required`](Field::required) for types without a [`Default`]. After a
    /// problem it returns `placeholder`, and `finish` then returns an error.
    #[must_use]
    pub fn required_or(self, placeholder: T) -> T {
        self.require().optional().unwrap_or(placeholder)
    }

    /// Returns the value. A missing field is a problem.
    #[must_use]
    pub fn required(self) -> T
    where
        T: Default,
    {
        self.require().optional().unwrap_or_default()
    }

    fn require(mut self) -> Self {
        self.notes.required();
        if matches!(self.found, Found::Missing) {
            self.found = Found::Wrong("is required".into());
            if self.hint.is_empty() {
                self.hint = format!("write {}", self.expected);
            }
        }
        self
    }
}

impl<T: PartialOrd + Debug> Field<T> {
    /// Refuses a value outside of `range`. NaN is outside of every range.
    pub fn range(self, range: RangeInclusive<T>) -> Self {
        self.notes.range(range.start(), range.end());
        self.map(|value| {
            if range.contains(&value) {
                Ok(value)
            } else {
                Err(format!(
                    "is not within {:?} to {:?}",
                    range.start(),
                    range.end()
                ))
            }
        })
    }
}

impl Field<String> {
    /// Keeps the value out of problems.
    pub fn secret(mut self) -> Self {
        self.echo = None;
        self
    }

    /// Reads `ip:port`, IPv6 in brackets, with any port. Replaces the hint.
    pub fn address(mut self) -> Field<SocketAddr> {
        let refused = match &self.found {
            Found::Value(text) => address(text).err(),
            _ => None,
        };
        if let Found::Wrong(reason) = &mut self.found {
            "is not ip:port".clone_into(reason);
        }
        let hint = refused.map_or_else(
            || "write ip:port, as in 10.0.0.1:8000".to_owned(),
            |refused| refused.fix,
        );
        self.hint(hint)
            .map(|text| address(&text).map_err(|refused| refused.reason))
    }

    /// Refuses the empty string, and one of more than `max_bytes`.
    pub fn max_bytes(self, max_bytes: usize) -> Self {
        self.map(|text| match text.len() {
            0 => Err("is empty".to_owned()),
            len if len > max_bytes => Err(format!("is {len} bytes long, more than {max_bytes}")),
            _ => Ok(text),
        })
    }

    /// Refuses all texts but the given names. Returns the value that belongs to the name.
    pub fn one_of<U: Copy + Debug>(self, names: &[(&str, U)]) -> Field<U> {
        self.notes.names(names);
        let known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        self.map(|text| {
            names
                .iter()
                .find(|(name, _)| *name == text)
                .map(|(_, value)| *value)
                .ok_or_else(|| {
                    let near = crate::nearest::nearest(&text, &known)
                        .map(|name| format!(", did you mean `{name}`?"));
                    format!(
                        "is none of {}{}",
                        known.join(", "),
                        near.unwrap_or_default()
                    )
                })
        })
    }
}

impl Field<Duration> {
    /// Converts to whole milliseconds.
    pub fn as_ms(self) -> Field<u64> {
        self.notes.is_ms();
        self.map(|value| u64::try_from(value.as_millis()))
    }
}
