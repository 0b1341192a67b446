//! Values that are made from files, and made anew when the files change.
//!
//! Files are read again each second. Secrets of Kubernetes change by a link (`..data`) that is
//! swapped, others by rename, others in place: only their contents tell. What changed is used once
//! two readings agree, so that a certificate and its key are not taken from two halves of a change.

use crate::metrics::ListenerMetrics;
use crate::metrics::labels::Reload;
use ring::digest::{Context, Digest, SHA256};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// How often files are read.
const READ_EVERY: Duration = Duration::from_secs(1);
/// Time between the two readings of what has changed.
const SETTLE: Duration = Duration::from_millis(50);
/// The most that is read of a file, in bytes.
const MOST_BYTES: u64 = 1024 * 1024;

/// A file, and the setting that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) setting: String,
    pub(crate) path: PathBuf,
}

impl File {
    /// Returns an error about this file.
    pub(crate) fn error(&self, why: &str) -> String {
        format!("`{}` {}: {why}", self.setting, self.path.display())
    }

    /// Returns a note if the file cannot be opened.
    fn missing(&self) -> Option<String> {
        let error = std::fs::File::open(&self.path).err()?;
        Some(format!(
            "`{}` {} cannot be read here: {error}",
            self.setting,
            self.path.display()
        ))
    }

    fn read(&self) -> Result<Vec<u8>, String> {
        let read = || {
            let mut bytes = Vec::new();
            let file = std::fs::File::open(&self.path)?;
            file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|error: std::io::Error| {
            self.error(&format!(
                "cannot be read: {error}; name a file that this user may read"
            ))
        })?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(self.error("is larger than 1 MiB; name the right file"));
        }
        Ok(bytes)
    }
}

/// Makes a value from the contents of files, in the order of these. An error names the file.
type Make<T> = Box<dyn Fn(&[File], &[Vec<u8>]) -> Result<T, String> + Send + Sync>;

/// How a value is made from files.
pub(crate) struct Source<T> {
    pub(crate) files: Vec<File>,
    pub(crate) make: Make<T>,
}

/// What is known of files before anything starts.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// Why files cannot be used.
    pub(crate) problems: Vec<String>,
    /// Files that cannot be opened here. They may exist on another machine.
    pub(crate) notes: Vec<String>,
}

/// The newest value that could be made.
pub(crate) type Newest<T> = watch::Receiver<Arc<T>>;

impl<T: Send + Sync + 'static> Source<T> {
    /// Adds why the value cannot be made from the files as they are, or which of them are not here.
    pub(crate) fn check(&self, checked: &mut Checked) {
        let missing: Vec<String> = self.files.iter().filter_map(File::missing).collect();
        if missing.is_empty() {
            let made = self.read().and_then(|read| (self.make)(&self.files, &read));
            checked.problems.extend(made.err());
        }
        checked.notes.extend(missing);
    }

    fn read(&self) -> Result<Vec<Vec<u8>>, String> {
        self.files.iter().map(File::read).collect()
    }

    /// Makes the value, and follows the files until nobody has a [`Newest`]. Must be called within
    /// a runtime.
    ///
    /// # Errors
    /// The files cannot be used now. Later the former value stays, the log says why, and it is
    /// counted.
    pub(crate) fn start(self, metrics: Arc<ListenerMetrics>) -> Result<Newest<T>, String> {
        let contents = self.read()?;
        let (newest, shown) = watch::channel(Arc::new((self.make)(&self.files, &contents)?));
        tokio::spawn(follow(Arc::new(self), digest(&contents), newest, metrics));
        Ok(shown)
    }
}

async fn follow<T: Send + Sync + 'static>(
    source: Arc<Source<T>>,
    mut tried: Digest,
    newest: watch::Sender<Arc<T>>,
    metrics: Arc<ListenerMetrics>,
) {
    let mut failing = None;
    while !newest.is_closed() {
        sleep(READ_EVERY).await;
        let outcome = match settled(&source).await {
            Ok(contents) if digest(&contents).as_ref() == tried.as_ref() => continue,
            Ok(contents) => {
                tried = digest(&contents);
                (source.make)(&source.files, &contents)
            }
            Err(why) => Err(why),
        };
        match outcome {
            Ok(value) => {
                failing = None;
                newest.send_replace(Arc::new(value));
                metrics.reloads.count(Reload::Ok);
                let files = source.files.iter().map(|file| file.path.display());
                let files: Vec<String> = files.map(|path| path.to_string()).collect();
                tracing::info!(
                    files = files.join(", "),
                    "files have changed and are in use"
                );
            }
            Err(why) if failing.as_ref() == Some(&why) => {}
            Err(why) => {
                metrics.reloads.count(Reload::Failed);
                tracing::warn!(
                    why,
                    "files have changed and cannot be used; the former stay"
                );
                failing = Some(why);
            }
        }
    }
}

/// Reads until two readings agree.
async fn settled<T: Send + Sync + 'static>(
    source: &Arc<Source<T>>,
) -> Result<Vec<Vec<u8>>, String> {
    let read = async || {
        let source = Arc::clone(source);
        let read = tokio::task::spawn_blocking(move || source.read()).await;
        read.map_err(|error| error.to_string())?
    };
    let mut before = read().await?;
    loop {
        sleep(SETTLE).await;
        let now = read().await?;
        if now == before {
            return Ok(now);
        }
        before = now;
    }
}

fn digest(contents: &[Vec<u8>]) -> Digest {
    let mut context = Context::new(&SHA256);
    for bytes in contents {
        context.update(&bytes.len().to_le_bytes());
        context.update(bytes);
    }
    context.finish()
}
