//! Keeps a copy of the API server's objects of one kind, by watching them.

use futures_util::{FutureExt, Stream, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::runtime::reflector::Lookup;
use kube::runtime::reflector::store::{Store, Writer};
use kube::runtime::watcher::{self, Event};
use std::hash::Hash;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

/// The longest time for a list. A slower server counts as away.
const LIST_LIMIT: Duration = Duration::from_secs(10);
/// How often all objects are listed again. A watch may have died silently; the next list then shows
/// what it missed.
pub(super) const LIST_AGAIN: Duration = Duration::from_secs(20);
/// Shortest and longest pause between attempts after failures. It doubles each time.
const BACKOFF: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(5)];

/// The longest pause where the API server refuses what is optional, or does not have it. That may
/// stay so.
const OPTIONAL_LIMIT: Duration = Duration::from_secs(60);
/// How many messages may wait for their receiver. More events wait at the API server.
pub(super) const EVENTS: usize = 1_024;

/// What a copy is of: kind and namespace.
pub(super) type Of = (&'static str, Option<String>);

/// A message of a watch. Its receiver then looks at the copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) of: Of,
    /// Why the copy may differ from what the API server has. Absent: it does not.
    pub(super) error: Option<String>,
}

impl Told {
    /// Something has changed that is no copy of the receiver's.
    pub(super) fn changed() -> Self {
        Self {
            of: ("", None),
            error: None,
        }
    }
}

/// Keeps the copy behind `writer` until nobody receives from `tell`. Only a whole list replaces the
/// copy, so it does not shrink because the API server is away.
///
/// `begin` lists and watches, as [`Kind::selected`] says.
pub(super) async fn follow<K, S>(
    begin: impl Fn() -> S,
    mut writer: Writer<K>,
    kind: Kind,
    tell: mpsc::Sender<Told>,
) where
    S: Stream<Item = watcher::Result<Event<K>>>,
    K: Resource + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    let mut wait = BACKOFF[0];
    while !tell.is_closed() {
        let failure = match once(begin(), &mut writer, &kind, &tell).await {
            Ok(()) => {
                wait = BACKOFF[0];
                continue;
            }
            Err(failure) => failure,
        };
        let told = match kind.is_not_served(&failure) {
            true => Some(kind.tell(None)),
            false => kind.explain(&failure).map(|why| kind.tell(Some(why))),
        };
        if let Some(told) = told
            && tell.send(told).await.is_err()
        {
            return;
        }
        sleep(wait).await;
        wait = wait.saturating_mul(2).min(kind.longest_pause(&failure));
    }
}

/// Why a copy may be old.
#[derive(Debug)]
pub(super) enum Failure {
    /// The API server refused.
    Refused(Box<kube::core::Status>),
    /// The API server did not answer, or broke off.
    Away(String),
}

/// Lists all objects, then takes in changes until it is time to list again.
async fn once<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>>,
    writer: &mut Writer<K>,
    kind: &Kind,
    tell: &mpsc::Sender<Told>,
) -> Result<(), Failure>
where
    K: Resource + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    let mut events = pin!(events);
    let mut until = Instant::now() + LIST_LIMIT;
    let mut is_listed = false;
    loop {
        let event = match timeout_at(until, events.next()).await {
            Err(_) if is_listed => return Ok(()),
            Err(_) => {
                let limit = LIST_LIMIT.as_secs();
                return Err(Failure::Away(format!("no answer within {limit} s")));
            }
            Ok(None) => return Ok(()),
            Ok(Some(event)) => event?.modify(|object| {
                kind.slim(object.meta_mut());
            }),
        };
        writer.apply_watcher_event(&event);
        match event {
            Event::Init | Event::InitApply(_) => continue,
            Event::InitDone => {
                is_listed = true;
                until = Instant::now() + kind.list_again;
            }
            Event::Apply(_) | Event::Delete(_) => {}
        }
        if tell.send(kind.tell(None)).await.is_err() {
            return Ok(());
        }
    }
}

impl From<watcher::Error> for Failure {
    fn from(error: watcher::Error) -> Self {
        use watcher::Error::{
            InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed,
        };
        match error {
            WatchError(status) => Self::Refused(status),
            InitialListFailed(kube::Error::Api(status))
            | WatchStartFailed(kube::Error::Api(status))
            | WatchFailed(kube::Error::Api(status)) => Self::Refused(status),
            InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error) => {
                Self::Away(innermost(&error))
            }
            NoResourceVersion => Self::Away("its list has no version".to_owned()),
        }
    }
}

/// Returns the innermost error: "connection refused" helps, "service error" does not.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// What is watched, in words.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    /// The name in rules of RBAC, as in `pods`.
    pub(super) resource: &'static str,
    /// The group in rules of RBAC. Empty: the core group.
    pub(super) group: &'static str,
    /// The namespace. Absent: all namespaces.
    pub(super) namespace: Option<String>,
    /// How often all objects are listed again.
    pub(super) list_again: Duration,
    /// Whether the cluster may do without such objects. Then it is no failure that the API server
    /// does not have them.
    pub(super) is_optional: bool,
    /// Which labels are kept, by their keys.
    pub(super) keep: fn(&str) -> bool,
}

impl Kind {
    /// Selects all objects of the kind. The watch lasts longer than `list_again`, so that listing
    /// again ends it.
    pub(super) fn selected(&self) -> watcher::Config {
        let seconds = self.list_again.as_secs().saturating_add(5);
        watcher::Config::default().timeout(u32::try_from(seconds).unwrap_or(u32::MAX))
    }

    /// Removes what nothing reads, which is most of an object.
    fn slim(&self, object: &mut ObjectMeta) {
        object.managed_fields = None;
        object.annotations = None;
        object.owner_references = None;
        object.finalizers = None;
        if let Some(labels) = &mut object.labels {
            labels.retain(|key, _| (self.keep)(key));
        }
    }

    /// Whether the cluster has no such objects.
    fn is_not_served(&self, failure: &Failure) -> bool {
        self.is_optional && matches!(failure, Failure::Refused(status) if status.code == 404)
    }

    fn longest_pause(&self, failure: &Failure) -> Duration {
        match failure {
            Failure::Refused(_) if self.is_optional => OPTIONAL_LIMIT,
            _ => BACKOFF[1],
        }
    }

    fn tell(&self, error: Option<String>) -> Told {
        Told {
            of: (self.resource, self.namespace.clone()),
            error,
        }
    }

    /// Explains a failure for the operator. `None`: it needs no action.
    fn explain(&self, failure: &Failure) -> Option<String> {
        let (resource, group) = (self.resource, self.group);
        let (place, rule) = match &self.namespace {
            Some(namespace) => (format!("namespace {namespace}"), "a Role there"),
            None => ("all namespaces".to_owned(), "a ClusterRole"),
        };
        let status = match failure {
            Failure::Away(why) => return Some(format!("the API server is away: {why}")),
            Failure::Refused(status) => status,
        };
        Some(match status.code {
            // The API server has forgotten the changes since our last one, which happens. All is
            // listed again.
            410 => return None,
            401 => "the API server does not know us; check the token of the service account, or the kubeconfig".to_owned(),
            403 => format!(
                "the API server refuses {resource} in {place}; {rule} has to allow: apiGroups [\"{group}\"], resources [\"{resource}\"], verbs [\"list\", \"watch\"]"
            ),
            404 => format!(
                "the API server has no {resource} of {group}; is its CustomResourceDefinition installed?"
            ),
            code => format!("the API server answers {code} for {resource} in {place}: {}", status.message),
        })
    }
}

/// Returns `None` until the first list is whole.
pub(super) fn is_listed<K>(store: &Store<K>) -> Option<()>
where
    K: Lookup + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    store.wait_until_ready().now_or_never()?.ok()
}
