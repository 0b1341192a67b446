//! An object of the document, and the fields that a reader asked for.

use crate::describe::Notes;
use crate::duration;
use crate::field::Field;
use crate::nearest::nearest;
use crate::problem::{Problem, Problems, echo, shorten};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;

/// Most elements of a list. A longer list is a problem.
const MAX_LIST: usize = 65_536;

const TEXT: &str = "a text";
const TIME: &str = "a span of time like 250ms, 10s, 2m or 1h";
const OBJECTS: &str = "a list of objects";

static EMPTY: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

/// One object of the document. Returns typed fields, and remembers which were asked for.
///
/// Clones and children share one list of problems. Reading a field costs one look-up.
#[derive(Debug, Clone)]
pub struct Settings<'v> {
    node: Rc<Node<'v>>,
    document: Rc<Document<'v>>,
}

#[derive(Debug)]
struct Node<'v> {
    path: String,
    /// `None` for the placeholder of an object that is missing or of the wrong type. That is
    /// already a problem, so its fields raise no further ones.
    fields: Option<&'v Map<String, Value>>,
    asked: RefCell<Vec<&'static str>>,
    /// What was said of the field that is asked for next.
    #[cfg(feature = "describe")]
    about: std::cell::Cell<Option<crate::describe::About>>,
}

#[derive(Debug, Default)]
struct Document<'v> {
    nodes: RefCell<Vec<Rc<Node<'v>>>>,
    problems: Rc<RefCell<Problems>>,
}

impl<'v> Settings<'v> {
    /// Reads `value`, which must be an object. Null counts as an empty object, because an empty
    /// YAML file gives null.
    #[must_use]
    pub fn new(value: &'v Value) -> Self {
        let document = Rc::new(Document::default());
        if !matches!(value, Value::Object(_) | Value::Null) {
            let fix =
                "write fields with values: `name: value` in YAML, {\"name\": value} in JSON".into();
            let problem = Problem {
                path: String::new(),
                value: Some(echo(value)),
                reason: "is not an object".into(),
                fix,
            };
            document.problems.borrow_mut().push(problem);
        }
        let fields = if value.is_null() {
            Some(&*EMPTY)
        } else {
            value.as_object()
        };
        Self::node(document, String::new(), fields)
    }

    fn node(
        document: Rc<Document<'v>>,
        path: String,
        fields: Option<&'v Map<String, Value>>,
    ) -> Self {
        let node = Rc::new(Node {
            path,
            fields,
            asked: RefCell::default(),
            #[cfg(feature = "describe")]
            about: std::cell::Cell::default(),
        });
        document.nodes.borrow_mut().push(Rc::clone(&node));
        Self { node, document }
    }

    /// Returns the place of this object, as in `pools[0].scrape`. Empty for the document itself.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.node.path
    }

    /// Describes the field that is asked for next, for generated documents: what it does, and what
    /// its absence means if no default says that. Type, range and default come from the reader.
    #[inline(always)]
    #[must_use]
    pub fn about(&self, _text: &'static str) -> &Self {
        #[cfg(feature = "describe")]
        self.node.about.set(Some(crate::describe::About {
            text: _text,
            ..Default::default()
        }));
        self
    }

    /// As [`about`](Self::about), for a field whose reader converts it by itself.
    ///
    /// - `value`: what it may be.
    /// - `default`: what counts where it is left out.
    #[inline(always)]
    #[must_use]
    pub fn about_as(
        &self,
        _text: &'static str,
        _value: &'static str,
        _default: &'static str,
    ) -> &Self {
        #[cfg(feature = "describe")]
        self.node.about.set(Some(crate::describe::About {
            text: _text,
            value: Some(_value),
            default: Some(_default),
        }));
        self
    }

    /// Begins the description of a field.
    #[inline]
    fn notes(&self, _name: &str, _expected: &str) -> Notes {
        #[cfg(feature = "describe")]
        return Notes::new(&self.child_path(_name), _expected, self.node.about.take());
        #[cfg(not(feature = "describe"))]
        Notes::default()
    }

    /// Reads a text.
    pub fn string(&self, name: &'static str) -> Field<String> {
        self.field(name, TEXT, |value| value.as_str().map(str::to_owned))
    }

    /// Reads `true` or `false`.
    pub fn bool(&self, name: &'static str) -> Field<bool> {
        self.field(name, "true or false", Value::as_bool)
    }

    /// Reads a whole number, 0 or more.
    pub fn u64(&self, name: &'static str) -> Field<u64> {
        self.field(name, "a whole number, 0 or more", Value::as_u64)
    }

    /// Reads a whole number that counts things in memory. A number that is too large for this
    /// machine reads as the largest one, so that a range can refuse it.
    pub fn usize(&self, name: &'static str) -> Field<usize> {
        self.field(name, "a whole number, 0 or more", |value| {
            let number = value.as_u64()?;
            Some(usize::try_from(number).unwrap_or(usize::MAX))
        })
    }

    /// Reads a finite number.
    pub fn f64(&self, name: &'static str) -> Field<f64> {
        self.field(name, "a number", |value| {
            value.as_f64().filter(|number| number.is_finite())
        })
    }

    /// Reads a span of time: `250ms`, `10s`, `2m`, `1h`.
    pub fn duration(&self, name: &'static str) -> Field<Duration> {
        self.field(name, TIME, |value| value.as_str().and_then(duration::parse))
    }

    /// Reads a list of texts.
    pub fn strings(&self, name: &'static str) -> Field<Vec<String>> {
        self.field(name, "a list of texts", |value| {
            let items = value.as_array().filter(|items| items.len() <= MAX_LIST)?;
            items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect()
        })
    }

    /// Reads an object that may be left out as a whole. [`Settings::section`] is for one whose
    /// fields all have defaults.
    pub fn object(&self, name: &'static str) -> Field<Self> {
        let path = self.child_path(name);
        self.field(name, "an object", |value| {
            value
                .as_object()
                .map(|fields| Self::node(Rc::clone(&self.document), path, Some(fields)))
        })
    }

    /// Reads an object. If it is left out, it reads as an empty one.
    #[must_use]
    pub fn section(&self, name: &'static str) -> Self {
        let left_out = self
            .node
            .fields
            .is_some_and(|fields| fields.get(name).is_none_or(Value::is_null));
        let stand_in = Self::node(
            Rc::clone(&self.document),
            self.child_path(name),
            left_out.then_some(&*EMPTY),
        );
        self.object(name).default(stand_in)
    }

    /// Reads an object that must be there. If it is missing, this is the only problem: its fields
    /// are not reported as missing.
    #[must_use]
    pub fn required_section(&self, name: &'static str, hint: &str) -> Self {
        let stand_in = Self::node(Rc::clone(&self.document), self.child_path(name), None);
        self.object(name).hint(hint).required_or(stand_in)
    }

    /// Reads a list of objects.
    pub fn objects(&self, name: &'static str) -> Field<Vec<Self>> {
        let path = self.child_path(name);
        self.field(name, OBJECTS, |value| {
            let items = value.as_array().filter(|items| items.len() <= MAX_LIST)?;
            let maps: Option<Vec<_>> = items.iter().map(Value::as_object).collect();
            let child = |(index, fields)| {
                Self::node(
                    Rc::clone(&self.document),
                    format!("{path}[{index}]"),
                    Some(fields),
                )
            };
            Some(maps?.into_iter().enumerate().map(child).collect())
        })
    }

    /// Reads any value, for a reader of its own.
    pub fn value(&self, name: &'static str) -> Field<&'v Value> {
        self.field(name, "a value", Some)
    }

    /// Records a problem of several fields, or of the object as a whole.
    pub fn problem(&self, reason: impl Into<String>, fix: impl Into<String>) {
        let problem = Problem {
            path: self.node.path.clone(),
            value: None,
            reason: reason.into(),
            fix: fix.into(),
        };
        self.document.problems.borrow_mut().push(problem);
    }

    /// Adds the unknown fields of every object that was read. Returns `read` if there was no
    /// problem at all.
    ///
    /// # Errors
    /// Returns all problems, in the order of reading. Unknown fields come last.
    pub fn finish<T>(self, read: T) -> Result<T, Problems> {
        for node in self.document.nodes.borrow().iter() {
            node.report_unknown(&mut self.document.problems.borrow_mut());
        }
        let problems = self.document.problems.take();
        if problems.is_empty() {
            Ok(read)
        } else {
            Err(problems)
        }
    }

    fn child_path(&self, name: &str) -> String {
        if self.node.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.node.path)
        }
    }

    fn field<T>(
        &self,
        name: &'static str,
        expected: &'static str,
        read: impl FnOnce(&'v Value) -> Option<T>,
    ) -> Field<T> {
        let mut asked = self.node.asked.borrow_mut();
        if !asked.contains(&name) {
            asked.push(name);
        }
        let notes = self.notes(name, expected);
        let problems = Rc::clone(&self.document.problems);
        let path = self.child_path(name);
        let Some(fields) = self.node.fields else {
            return Field::quiet(path, problems).with_notes(notes);
        };
        let field = match fields.get(name).filter(|value| !value.is_null()) {
            None => Field::missing(path, expected, problems),
            Some(value) => {
                let found = read(value)
                    .ok_or_else(|| format!("is not {expected}{}", slip(value, expected)));
                Field::read(found, path, echo(value), expected, problems)
            }
        };
        field.with_notes(notes)
    }
}

/// Returns what the user likely meant, as text to follow "is not ...".
fn slip(value: &Value, expected: &str) -> String {
    match value {
        Value::Number(_) | Value::Bool(_) if expected == TEXT => {
            [", write it in quotes: \"", &echo(value), "\""].concat()
        }
        Value::String(inside) if expected != TEXT && expected != TIME && is_bare(inside) => {
            [", write it without quotes: ", inside].concat()
        }
        Value::Array(items) if expected == OBJECTS => {
            let wrong = items.iter().enumerate().find(|(_, item)| !item.is_object());
            wrong.map_or_else(String::new, |(at, item)| {
                [": [", &at.to_string(), "] is ", &echo(item)].concat()
            })
        }
        _ => String::new(),
    }
}

/// Returns whether a text is a number, true or false.
fn is_bare(text: &str) -> bool {
    let digits = !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    digits && text.len() <= 20 || matches!(text, "true" | "false")
}

impl Node<'_> {
    fn report_unknown(&self, problems: &mut Problems) {
        let asked = self.asked.borrow();
        if asked.is_empty() {
            // The object was not read at all, because its list had a problem.
            return;
        }
        for (name, value) in self.fields.into_iter().flatten() {
            if asked.contains(&name.as_str()) {
                continue;
            }
            let path = match self.path.as_str() {
                "" => shorten(name),
                path => format!("{path}.{}", shorten(name)),
            };
            let fix = match nearest(name, &asked) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", asked.join(", ")),
            };
            problems.push(Problem {
                path,
                value: Some(echo(value)),
                reason: "is not a known field".into(),
                fix,
            });
        }
    }
}
