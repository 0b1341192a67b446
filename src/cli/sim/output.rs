//! Orders results by task, independent of the order in which they come, and writes them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use trimtab_sim::report::{self, Digest};

use super::load::Loaded;
use super::pool::Task;
use super::{Args, pictures};

/// The results of one scenario file.
#[derive(Debug)]
struct Part {
    /// Number of the file's first task.
    first: usize,
    came: Vec<Option<Digest>>,
}

/// Collects results and writes those of complete files.
#[derive(Debug)]
pub(super) struct Output<'a> {
    loaded: &'a [Loaded],
    parts: Vec<Part>,
    /// Results of all files up to the newest complete one.
    digests: Vec<Digest>,
    /// Number of the first file that is not complete.
    next: usize,
    /// Index in `digests` where the results of the newest complete file begin.
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

    /// Stores the figures of a task.
    pub(super) fn take(&mut self, task: usize, digest: Digest) {
        let part = self.parts.iter_mut().rev().find(|part| part.first <= task);
        let place = part.and_then(|part| part.came.get_mut(task - part.first));
        if let Some(place) = place {
            *place = Some(digest);
        }
    }

    /// Returns the next file whose results are complete, each file once.
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

    /// Writes the requested files with all complete results, and the pictures of the newest file.
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
