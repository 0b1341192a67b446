//! Reads scenario files and applies the arguments to them.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use trimtab_settings::Problems;
use trimtab_sim::batch;
use trimtab_sim::parse::{Document, Draft, MOST_TEXT_BYTES};

use super::Args;

/// Largest trace file that is read.
const MOST_TRACE_BYTES: u64 = 1 << 30;

/// A file that has been checked.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) path: PathBuf,
    pub(super) document: Document,
}

/// Reads and checks every file. One error holds the problems of all files.
pub(super) fn files(args: &Args) -> Result<Vec<Loaded>> {
    let mut loaded: Vec<Loaded> = Vec::new();
    let mut told = Vec::new();
    for path in &args.files {
        let document = match file(path, args) {
            Ok(document) => document,
            Err(problems) => {
                told.extend(
                    problems
                        .iter()
                        .map(|problem| format!("{}: {problem}", path.display())),
                );
                let more = problems.len() - problems.iter().count();
                if more > 0 {
                    told.push(format!("{}: and {more} more", path.display()));
                }
                continue;
            }
        };
        let name = &document.scenario.name;
        let same = |other: &&Loaded| other.document.scenario.name == *name;
        if let Some(other) = loaded.iter().find(same) {
            let (path, other) = (path.display(), other.path.display());
            told.push(format!("{path}: name: {name:?}: is that of {other} too; files are named after it, give another"));
        }
        loaded.push(Loaded {
            path: path.clone(),
            document,
        });
    }
    let unbanded = |file: &Loaded| file.document.expected.is_empty();
    if args.expect && !loaded.is_empty() && loaded.iter().all(unbanded) {
        let none = "expected: is missing in every file; write bands under [expected], or leave out --expect";
        told.push(none.to_owned());
    }
    if !told.is_empty() {
        bail!("{} problem(s)\n  {}", told.len(), told.join("\n  "));
    }
    Ok(loaded)
}

fn file(path: &Path, args: &Args) -> Result<Document, Problems> {
    let bytes = read(path, MOST_TEXT_BYTES as u64)
        .map_err(|reason| Problems::one("file", reason, "give a scenario file"))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Problems::one("file", "is not UTF-8", "give a scenario file"))?;
    let mut draft = Draft::parse(&text)?;
    overrides(&mut draft, args)?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let mut document = draft.check(&mut |name| read(&folder.join(name), MOST_TRACE_BYTES))?;
    if args.quick {
        batch::shorten(&mut document.scenario);
    }
    Ok(document)
}

/// Turns arguments into keys of the file, so that they are checked like keys.
fn overrides(draft: &mut Draft, args: &Args) -> Result<(), Problems> {
    for pair in &args.set {
        let Some((key, value)) = pair.split_once('=') else {
            let fix = "write --set KEY=VALUE, as in --set tables.scrape_s=0.5";
            return Err(Problems::one(pair.as_str(), "has no =", fix));
        };
        draft.set(key.trim(), value.trim())?;
    }
    if !args.rules.is_empty() {
        draft.set("rules", &format!("{:?}", args.rules))?;
    }
    if !args.loads.is_empty() {
        draft.set("loads", &format!("[{}]", args.loads.join(", ")))?;
    }
    match args.seeds.as_slice() {
        [] => {}
        [count] => draft.set("seeds", count)?,
        list => draft.set("seeds", &format!("[{}]", list.join(", ")))?,
    }
    if let Some(deciders) = args.deciders {
        draft.set("deciders.count", &deciders.to_string())?;
    }
    Ok(())
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(most + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("{shown} cannot be read: {error}"))?;
    if bytes.len() as u64 > most {
        return Err(format!("{shown} has more than {most} bytes"));
    }
    Ok(bytes)
}
