//! The records of benchmarks: `benches/record/DAY/NAME.json`. The newest day that has a record
//! counts. Older days stay where they are.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::project;

/// Where the records are, from the project's root.
const FOLDER: &str = "benches/record";

/// One record.
#[derive(Debug)]
pub(super) struct Record {
    day: String,
    /// Name of the file.
    name: String,
    value: Value,
}

impl Record {
    /// Returns the newest record of this name.
    ///
    /// - `name`: the file without `.json`.
    ///
    /// # Errors
    /// There is none, or it is broken.
    pub(super) fn newest(name: &str) -> Result<Self> {
        Self::find(name)?.with_context(|| none(name))
    }

    /// The same, where there may be none.
    ///
    /// # Errors
    /// It is broken.
    pub(super) fn find(name: &str) -> Result<Option<Self>> {
        newest(&project::root().join(FOLDER), name)
    }

    /// Returns the records of the newest day whose names begin so, in the order of their names.
    ///
    /// # Errors
    /// There is none, or one is broken.
    pub(super) fn newest_all(start: &str) -> Result<Vec<Self>> {
        let all = newest_all(&project::root().join(FOLDER), start)?;
        if all.is_empty() {
            bail!("{}", none(start));
        }
        Ok(all)
    }

    /// Returns the value at a path of fields, such as `ttft_ms/p99`.
    ///
    /// # Errors
    /// There is none, or null.
    pub(super) fn number(&self, path: &str) -> Result<f64> {
        number(&self.value, path).with_context(|| format!("{}: no number at {path}", self.file()))
    }

    /// Returns the list of this name.
    pub(super) fn list(&self, name: &str) -> Result<&[Value]> {
        let list = self.value[name].as_array();
        list.map(Vec::as_slice)
            .with_context(|| format!("{}: no list `{name}`", self.file()))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.value[name].as_str()
    }

    /// Says when, of which commit and how it was measured, with a link for documents in docs.
    ///
    /// - `command`: for records that do not name theirs.
    pub(super) fn source(&self, command: &str) -> String {
        let commit = self.text("commit").unwrap_or("not recorded");
        let command = self.text("command").unwrap_or(command);
        let note = self
            .text("note")
            .map_or_else(String::new, |note| format!(" {note}"));
        format!(
            "{}, commit {commit}, `{command}`; [record](../{FOLDER}/{}).{note}",
            self.day, self.day
        )
    }

    pub(super) fn day(&self) -> &str {
        &self.day
    }

    fn file(&self) -> String {
        format!("{FOLDER}/{}/{}", self.day, self.name)
    }
}

/// Returns the number at a path of fields, such as `ttft_ms/p99`. `None`: there is none, or null.
pub(super) fn number(value: &Value, path: &str) -> Option<f64> {
    let mut fields = path.split('/');
    fields
        .try_fold(value, |value, field| value.get(field))?
        .as_f64()
}

/// Returns the newest record of exactly this name.
fn newest(folder: &Path, name: &str) -> Result<Option<Record>> {
    let file = format!("{name}.json");
    Ok(of_newest_day(folder, |found| found == file)?.pop())
}

/// Returns the records of the newest day that has one whose name begins so.
fn newest_all(folder: &Path, start: &str) -> Result<Vec<Record>> {
    let is_wanted = |found: &str| found.starts_with(start) && found.ends_with(".json");
    of_newest_day(folder, is_wanted)
}

/// Returns the records of the newest day that has wanted ones. Empty: no day has.
fn of_newest_day(folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<Record>> {
    let mut days = entries(folder)?;
    days.retain(|day| day.is_dir());
    for day in days.iter().rev() {
        let mut files = entries(day)?;
        files.retain(|file| is_wanted(name(file)));
        if !files.is_empty() {
            return files.iter().map(|file| read(name(day), file)).collect();
        }
    }
    Ok(Vec::new())
}

fn none(name: &str) -> String {
    format!("{FOLDER} has no record {name}: run the benchmark that writes it (benches/README.md)")
}

fn read(day: &str, file: &Path) -> Result<Record> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let value =
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))?;
    Ok(Record {
        day: day.to_owned(),
        name: name(file).to_owned(),
        value,
    })
}

/// Returns what a folder has, in the order of names.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut entries = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    entries.sort();
    Ok(entries)
}

fn name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_day_that_has_a_record_of_the_name_counts() {
        let folder = tempfile::tempdir().unwrap();
        for (day, name, text) in [
            ("2026-01-02", "sim.json", r#"{"at": {"n": 1}}"#),
            (
                "2026-01-10",
                "sim.json",
                r#"{"at": {"n": 2}, "commit": "abc"}"#,
            ),
            ("2026-01-10", "sim.csv", "no JSON"),
            ("2026-01-20", "sim-x.json", r#"{"at": {"n": 5}}"#),
            ("2026-01-20", "soak.json", "no JSON"),
            ("2026-02-01", "demo-2.json", r#"{"at": {"n": 4}}"#),
            ("2026-02-01", "demo-1.json", r#"{"at": {"n": 3}}"#),
        ] {
            let day = folder.path().join(day);
            std::fs::create_dir_all(&day).unwrap();
            std::fs::write(day.join(name), text).unwrap();
        }
        let numbers = |start: &str| -> Vec<f64> {
            let all = newest_all(folder.path(), start).unwrap();
            all.iter().map(|one| one.number("at/n").unwrap()).collect()
        };
        assert_eq!(numbers("demo-"), [3.0, 4.0]);
        assert_eq!(numbers("sim"), [5.0]);
        assert!(numbers("vm").is_empty());
        // A newer record whose name only begins so does not hide it.
        let sim = newest(folder.path(), "sim").unwrap().unwrap();
        assert_eq!(sim.number("at/n").unwrap(), 2.0);
        assert!(
            sim.source("run")
                .starts_with("2026-01-10, commit abc, `run`;")
        );
        assert!(sim.number("at/m").is_err());
        assert!(newest(folder.path(), "vm").unwrap().is_none());
        assert!(newest(folder.path(), "soak").is_err());
    }
}
