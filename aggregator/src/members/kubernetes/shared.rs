//! A copy of the API server's objects of one kind that several pools read. It tells what is useful
//! but not necessary: pools go on without it.

use super::watch::{self, EVENTS, Kind, Told};
use futures_util::Stream;
use kube::Resource;
use kube::runtime::reflector::Lookup;
use kube::runtime::reflector::store::{Store, Writer};
use kube::runtime::watcher::{self, Event};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Weak};
use tokio::sync::{mpsc, watch as channel};
use tokio::task::JoinSet;

/// The copy, and the tasks that keep it. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Shared<K>
where
    K: Lookup + Clone + Debug + 'static,
    K::DynamicType: Eq + Hash + Clone + Debug,
{
    pub(super) store: Store<K>,
    standing: channel::Receiver<Standing>,
    _tasks: JoinSet<()>,
}

/// What is known of a copy.
#[derive(Debug, Clone, Default)]
struct Standing {
    /// How often it may have changed. 0: it is still being listed.
    changes: u64,
    /// Why it may be old or empty. Absent: it is neither.
    error: Option<String>,
}

impl<K> Shared<K>
where
    K: Resource + Clone + Debug + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone + Debug,
{
    /// Starts to keep a copy. Must be called within a runtime. See [`watch::follow`].
    pub(super) fn start<S>(
        begin: impl Fn() -> S + Send + Sync + 'static,
        writer: Writer<K>,
        kind: Kind,
    ) -> Self
    where
        S: Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    {
        let store = writer.as_reader();
        let (tell, told) = mpsc::channel(EVENTS);
        let (standing, shown) = channel::channel(Standing::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(watch::follow(begin, writer, kind, tell));
        tasks.spawn(note(told, standing));
        Self {
            store,
            standing: shown,
            _tasks: tasks,
        }
    }

    /// Whether the copy is whole, or it is known why there is none.
    pub(super) fn is_known(&self) -> bool {
        self.changes() > 0
    }

    /// Returns a number that grows when the copy changes.
    pub(super) fn changes(&self) -> u64 {
        self.standing.borrow().changes
    }

    /// Says why the copy may be old or empty. `None`: it is neither.
    pub(super) fn error(&self) -> Option<String> {
        self.standing.borrow().error.clone()
    }

    /// Calls `tell` when the copy has changed, until nobody listens.
    pub(super) fn tell(&self, tell: mpsc::Sender<Told>) -> impl Future<Output = ()> + use<K> {
        let mut standing = self.standing.clone();
        // What has changed before counts as well.
        standing.mark_changed();
        async move {
            while standing.changed().await.is_ok() {
                if tell.send(Told::changed()).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Notes what a watch tells. Logs why the copy may be old or empty, once for each reason.
async fn note(mut told: mpsc::Receiver<Told>, standing: channel::Sender<Standing>) {
    while let Some(Told { error, .. }) = told.recv().await {
        standing.send_modify(|now| {
            match &error {
                Some(why) if now.error != error => {
                    tracing::warn!(
                        why,
                        "the hardware of pods cannot be read, going by what else is known of it"
                    );
                }
                None if now.error.is_some() => tracing::info!("the hardware of pods can be read"),
                _ => {}
            }
            now.changes = now.changes.saturating_add(1);
            now.error = error;
        });
    }
}

/// Returns what is in use, or starts it.
pub(super) fn of<T>(place: &mut Weak<T>, start: impl FnOnce() -> T) -> Arc<T> {
    place.upgrade().unwrap_or_else(|| {
        let started = Arc::new(start());
        *place = Arc::downgrade(&started);
        started
    })
}
