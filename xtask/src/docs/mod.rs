//! `cargo xtask docs`: writes what the documents say of measurements, metrics and settings from the
//! records and the code. `cargo xtask lint` fails where a document differs from what it would
//! write.

mod configuration;
mod metrics;
mod record;
mod reference;
mod results;
mod sections;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::project;
pub(crate) use results::comparison;

/// A document, and the text that it should have.
struct Document {
    /// From the project's root.
    path: &'static str,
    text: String,
}

/// Writes every generated document, and the generated sections of others.
pub(crate) fn docs() -> Result<()> {
    for document in all()? {
        let path = document.file();
        if is_stale(&document)? {
            std::fs::write(&path, &document.text)
                .with_context(|| format!("cannot write {}", path.display()))?;
            println!("wrote {}", document.path);
        }
    }
    Ok(())
}

/// Fails if a document differs from what [`docs`] would write.
pub(crate) fn check() -> Result<()> {
    let mut stale = Vec::new();
    for document in all()? {
        if is_stale(&document)? {
            stale.push(document.path);
        }
    }
    if !stale.is_empty() {
        bail!(
            "{} differ(s) from the records or the code: run `cargo xtask docs`, and commit what it writes",
            stale.join(", ")
        );
    }
    Ok(())
}

fn all() -> Result<Vec<Document>> {
    let reference = reference::Reference::read()?;
    let mut documents = vec![
        Document {
            path: "docs/results.md",
            text: results::document()?,
        },
        Document {
            path: "docs/metrics.md",
            text: metrics::document(&reference)?,
        },
        Document {
            path: "docs/configuration.md",
            text: configuration::document(&reference)?,
        },
    ];
    let path = "README.md";
    let text = std::fs::read_to_string(project::root().join(path)).context("cannot read README")?;
    let text = sections::replaced(&text, &results::summaries()?).context(path)?;
    documents.push(Document { path, text });
    Ok(documents)
}

fn is_stale(document: &Document) -> Result<bool> {
    match std::fs::read_to_string(document.file()) {
        Ok(text) => Ok(text != document.text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", document.path)),
    }
}

impl Document {
    fn file(&self) -> PathBuf {
        project::root().join(self.path)
    }
}
