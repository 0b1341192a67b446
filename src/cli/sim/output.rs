//! Results in the order of their tasks, whatever the order in which they come.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use trimtab_sim::report::{self, Digest};

use super::load::Loaded;
use super::pool::Task;
use super::{Args, pictures};

/// The results of one file.
#[derive(Debug)]
struct Part {
    /// Number of its first task.
    first: usize,
    came: Vec<Option<Digest>>,
}

/// Collects results and writes what is complete.
#[derive(Debug)]
pub(super) struct Output<'a> {
    loaded: &'a [Loaded],
    parts: Vec<Part>,
    /// Results of the files that are complete, as are those before them.
    digests: Vec<Digest>,
    /// Number of the next file to be complete.
    next: usize,
    /// Where the results of the newest complete file begin.
    newest: usize,
    json: Option<&'a Path>,
    csv: Option<&'a Path>,
    svg: Option<&'a Path>,
}

impl<'a> Output<'a> {
    pub(super) fn new(args: &'a Args, loaded: &'a [Loaded], tasks: &[Task<'_>]) -> Self {
        let parts = (0..loaded.len()).map(|at| Part {
            first: tasks.iter().take_while(|task| task.at < at).count(),
            came: vec![None; tasks.iter().filter(|task| task.at == at).count()],
        });
        let path = |path: &'a Option<PathBuf>| path.as_deref();
        Self {
            loaded,
            parts: parts.collect(),
            digests: Vec::new(),
            next: 0,
            newest: 0,
            json: path(&args.json),
            csv: path(&args.csv),
            svg: path(&args.svg),
        }
    }

    /// The figures of a task came.
    pub(super) fn take(&mut self, task: usize, digest: Digest) {
        let part = self.parts.iter_mut().rev().find(|part| part.first <= task);
        let place = part.and_then(|part| part.came.get_mut(task - part.first));
        if let Some(place) = place {
            *place = Some(digest);
        }
    }

    /// The next file whose results are complete, once.
    pub(super) fn next_finished(&mut self) -> Option<(&'a Loaded, &[Digest])> {
        let part = self.parts.get_mut(self.next)?;
        if part.came.iter().any(Option::is_none) {
            return None;
        }
        self.newest = self.digests.len();
        self.digests
            .extend(std::mem::take(&mut part.came).into_iter().flatten());
        let file = self.loaded.get(self.next)?;
        self.next += 1;
        Some((file, self.digests.get(self.newest..).unwrap_or_default()))
    }

    /// Writes the files that were asked for, with everything that is complete, and the newest file's pictures.
    pub(super) fn write(&self) -> Result<()> {
        if let Some(path) = self.json {
            write(path, &report::json(&self.digests))?;
        }
        if let Some(path) = self.csv {
            write(path, &report::csv(&self.digests))?;
        }
        let newest = self.digests.get(self.newest..).unwrap_or_default();
        let file = self.next.checked_sub(1).and_then(|at| self.loaded.get(at));
        if let (Some(folder), Some(file)) = (self.svg, file) {
            for (name, svg) in pictures::of(&file.document.scenario, newest) {
                write(&folder.join(name), &svg)?;
            }
        }
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
