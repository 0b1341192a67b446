//! What readers say of their settings, for documents that are generated from them.
//!
//! With the feature `describe`, a reader that runs within `collect` leaves a `Setting` for each
//! field that it has described by [`Settings::about`](crate::Settings::about). Without the feature
//! `Notes` is empty and all of this compiles to nothing: the filter's module has no text for it.
//!
//! Rejected: a schema derived from types, as by `schemars`. These readers report every problem, and
//! know ranges that depend on other fields; a type beside each would be a second source. Syntax
//! read from the sources: it does not know the value of a default.

pub(crate) use imp::Notes;
#[cfg(feature = "describe")]
pub use imp::{Setting, collect};

#[cfg(not(feature = "describe"))]
mod imp {
    use std::fmt::Debug;

    /// Nothing.
    #[derive(Debug, Clone, Copy, Default)]
    pub(crate) struct Notes(());

    impl Notes {
        #[inline(always)]
        pub(crate) fn range(&self, _least: &impl Debug, _most: &impl Debug) {}

        #[inline(always)]
        pub(crate) fn names<U: Debug>(&self, _names: &[(&str, U)]) {}

        #[inline(always)]
        pub(crate) fn is_ms(&self) {}

        #[inline(always)]
        pub(crate) fn absent(&self, _value: &impl Debug) {}

        #[inline(always)]
        pub(crate) fn required(&self) {}
    }
}

#[cfg(feature = "describe")]
mod imp {
    use std::cell::{Cell, RefCell};
    use std::fmt::Debug;
    use std::rc::Rc;
    use std::time::Duration;

    use serde_json::{Value, json};

    /// A setting, as its reader describes it.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct Setting {
        /// Its place, as in `pools[].scrape.interval`.
        pub path: String,
        /// What it does. Empty: the reader has asked for it, but does not describe it.
        pub about: String,
        /// What it may be: a type, or names.
        pub value: String,
        /// Least and most, as a user would write them. Absent: any.
        pub range: Option<(String, String)>,
        /// What counts where it is left out. Absent: nothing does, or the description says what.
        pub default: Option<String>,
        /// Whether it must be there.
        pub required: bool,
    }

    impl Setting {
        /// Returns the fields by name. Absent ones are null.
        #[must_use]
        pub fn json(&self) -> Value {
            json!({
                "path": self.path,
                "about": self.about,
                "value": self.value,
                "range": self.range,
                "default": self.default,
                "required": self.required,
            })
        }
    }

    thread_local! {
        static FOUND: RefCell<Vec<Rc<RefCell<Setting>>>> = const { RefCell::new(Vec::new()) };
    }

    /// Runs readers, and returns the settings that they asked for, each once, in the order of
    /// reading.
    #[must_use]
    pub fn collect(read: impl FnOnce()) -> Vec<Setting> {
        FOUND.take();
        read();
        let mut settings: Vec<Setting> = Vec::new();
        for found in FOUND.take() {
            let found = found.borrow().clone();
            match settings.iter_mut().find(|known| known.path == found.path) {
                Some(known) if known.about.is_empty() => *known = found,
                Some(_) => {}
                None => settings.push(found),
            }
        }
        settings
    }

    /// The place of a field's description.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Notes {
        setting: Rc<RefCell<Setting>>,
        /// Names, and how their values are shown by `Debug`.
        names: Rc<RefCell<Vec<(String, String)>>>,
        /// Whether values are numbers of milliseconds.
        is_ms: Rc<Cell<bool>>,
    }

    impl Notes {
        /// Begins the description of a field.
        ///
        /// - `about`: what was said of the next field; `None`: nothing.
        pub(crate) fn new(path: &str, expected: &str, about: Option<About>) -> Self {
            let about = about.unwrap_or_default();
            let setting = Setting {
                path: without_numbers(path),
                about: about.text.to_owned(),
                value: about.value.unwrap_or(expected).to_owned(),
                default: about.default.map(str::to_owned),
                ..Setting::default()
            };
            let notes = Self {
                setting: Rc::new(RefCell::new(setting)),
                names: Rc::default(),
                is_ms: Rc::default(),
            };
            FOUND.with_borrow_mut(|found| found.push(Rc::clone(&notes.setting)));
            notes
        }

        pub(crate) fn range(&self, least: &impl Debug, most: &impl Debug) {
            let range = (self.shown(least), self.shown(most));
            self.setting.borrow_mut().range = Some(range);
        }

        pub(crate) fn names<U: Debug>(&self, names: &[(&str, U)]) {
            let shown = names.iter();
            let shown = shown.map(|(name, value)| ((*name).to_owned(), format!("{value:?}")));
            self.names.replace(shown.collect());
            let names: Vec<String> = names.iter().map(|(name, _)| format!("`{name}`")).collect();
            self.setting.borrow_mut().value = names.join(", ");
        }

        /// From here on the value is a number of milliseconds, which users write as a span.
        pub(crate) fn is_ms(&self) {
            self.is_ms.set(true);
        }

        pub(crate) fn absent(&self, value: &impl Debug) {
            let shown = self.shown(value);
            let mut setting = self.setting.borrow_mut();
            if setting.default.is_none() && setting.value != "an object" {
                setting.default = Some(shown);
            }
        }

        pub(crate) fn required(&self) {
            self.setting.borrow_mut().required = true;
        }

        /// Shows a value as a user would write it.
        fn shown(&self, value: &impl Debug) -> String {
            let text = format!("{value:?}");
            let names = self.names.borrow();
            if let Some((name, _)) = names.iter().find(|(_, one)| *one == text) {
                return name.clone();
            }
            match text.parse() {
                Ok(ms) if self.is_ms.get() => span(Duration::from_millis(ms)),
                _ if self.setting.borrow().value.starts_with("a span") => duration_in(&text),
                _ => text.trim_matches('"').to_owned(),
            }
        }
    }

    /// What a reader says of the field that it asks for next.
    #[derive(Debug, Clone, Copy, Default)]
    pub(crate) struct About {
        pub(crate) text: &'static str,
        pub(crate) value: Option<&'static str>,
        pub(crate) default: Option<&'static str>,
    }

    /// Returns `pools[0].name` as `pools[].name`.
    fn without_numbers(path: &str) -> String {
        let mut out = String::new();
        let mut is_index = false;
        for char in path.chars() {
            is_index = is_index && char != ']';
            if !is_index {
                out.push(char);
            }
            is_index |= char == '[';
        }
        out
    }

    /// Shows a span in the largest unit that needs no fraction. One minute is `60s`, and nothing is
    /// `0s`.
    fn span(span: Duration) -> String {
        let us = span.as_micros();
        for (unit, size) in [
            ("h", 3_600_000_000),
            ("m", 60_000_000),
            ("s", 1_000_000),
            ("ms", 1_000),
        ] {
            if us > 0 && us.is_multiple_of(size) && (us > size || unit != "m") {
                return format!("{}{unit}", us / size);
            }
        }
        match us {
            0 => "0s".to_owned(),
            us => format!("{us}us"),
        }
    }

    /// Shows a span that `Debug` has formatted.
    fn duration_in(text: &str) -> String {
        for (unit, us) in [("ms", 1e3), ("µs", 1.0), ("ns", 1e-3), ("s", 1e6)] {
            if let Some(Ok(number)) = text.strip_suffix(unit).map(str::parse::<f64>) {
                // Settings are whole microseconds of at most hours.
                return span(Duration::from_micros((number * us).round() as u64));
            }
        }
        text.to_owned()
    }
}

#[cfg(feature = "describe")]
pub(crate) use imp::About;
