//! Copies of what tells the hardware of a cluster's pods. All pools of the aggregator that reach
//! the cluster in the same way read the same copies.

use super::asks::Asker;
use super::claim::Claim;
use super::inventory::Inventory;
use super::nodes;
use super::slice::Slice;
use super::version::{self, GROUP, Version};
use crate::members::kubernetes::section::Reading;
use crate::members::kubernetes::shared::{self, Shared};
use crate::members::kubernetes::watch::{Kind, LIST_AGAIN};
use k8s_openapi::api::core::v1::Node;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::watcher;
use kube::{Api, Client};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// How often nodes and slices are listed again. There may be thousands, and they seldom change.
const LIST_AGAIN_ALL: Duration = Duration::from_secs(240);

/// The name of a node, and its labels that tell hardware and zone.
pub(super) type NodeLabels = PartialObjectMeta<Node>;
type Access = (Option<PathBuf>, Option<String>);

/// The copies of all clusters, by the way in which they are reached.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clusters(Arc<Mutex<BTreeMap<Access, Arc<Hub>>>>);

/// The copies of one cluster. One that nobody uses is not kept.
#[derive(Debug, Default)]
pub(super) struct Hub(Mutex<Copies>);

#[derive(Debug, Default)]
struct Copies {
    nodes: Weak<Shared<NodeLabels>>,
    slices: Weak<Slices>,
    claims: ByNamespace<Claim>,
    pods: ByNamespace<Asker>,
}

type ByNamespace<K> = BTreeMap<String, Weak<Shared<K>>>;

impl Clusters {
    /// Returns the copies of the cluster that is reached in this way.
    pub(super) fn hub(&self, reading: &Reading) -> Arc<Hub> {
        let access = (reading.kubeconfig.clone(), reading.context.clone());
        Arc::clone(lock(&self.0).entry(access).or_default())
    }
}

impl Hub {
    pub(super) fn nodes(&self, client: &Client) -> Arc<Shared<NodeLabels>> {
        shared::of(&mut lock(&self.0).nodes, || {
            let api: Api<NodeLabels> = Api::all(client.clone());
            let kind = Kind {
                keep: nodes::is_read,
                ..kind("nodes", "", None)
            };
            let selected = kind.selected();
            let begin = move || watcher(api.clone(), selected.clone());
            Shared::start(begin, Writer::new(()), kind)
        })
    }

    pub(super) fn slices(&self, client: &Client) -> Arc<Slices> {
        shared::of(&mut lock(&self.0).slices, || {
            let kind = kind("resourceslices", GROUP, None);
            let (selected, client) = (kind.selected(), client.clone());
            let watch = move |client: Client, version: Version| {
                watcher(Api::<Slice>::all_with(client, &version), selected.clone())
            };
            let begin = move || version::begin(client.clone(), watch.clone());
            Slices {
                all: Shared::start(begin, Writer::new(Version::default()), kind),
                inventory: Mutex::default(),
            }
        })
    }

    pub(super) fn claims(&self, client: &Client, namespace: &str) -> Arc<Shared<Claim>> {
        shared::of(place(&mut lock(&self.0).claims, namespace), || {
            let kind = Kind {
                list_again: LIST_AGAIN,
                ..kind("resourceclaims", GROUP, Some(namespace))
            };
            let (selected, client) = (kind.selected(), client.clone());
            let namespace = namespace.to_owned();
            let watch = move |client: Client, version: Version| {
                let api = Api::<Claim>::namespaced_with(client, &namespace, &version);
                watcher(api, selected.clone())
            };
            let begin = move || version::begin(client.clone(), watch.clone());
            Shared::start(begin, Writer::new(Version::default()), kind)
        })
    }

    /// Returns the pods of a namespace, for endpoints of which only the pod's name is known.
    pub(super) fn pods(&self, client: &Client, namespace: &str) -> Arc<Shared<Asker>> {
        shared::of(place(&mut lock(&self.0).pods, namespace), || {
            let api: Api<Asker> = Api::namespaced(client.clone(), namespace);
            let kind = Kind {
                list_again: LIST_AGAIN,
                // Which label tells a class differs from pool to pool.
                keep: |_| true,
                ..kind("pods", "", Some(namespace))
            };
            let selected = kind.selected();
            let begin = move || watcher(api.clone(), selected.clone());
            Shared::start(begin, Writer::new(()), kind)
        })
    }
}

/// Returns the place of a namespace's copy. Forgets those that nobody uses.
fn place<'c, K>(copies: &'c mut ByNamespace<K>, namespace: &str) -> &'c mut Weak<Shared<K>>
where
    K: kube::Resource + Clone + Debug + 'static,
    K::DynamicType: Eq + Hash + Clone + Debug,
{
    copies.retain(|_, copy| copy.strong_count() > 0);
    copies.entry(namespace.to_owned()).or_default()
}

fn kind(resource: &'static str, group: &'static str, namespace: Option<&str>) -> Kind {
    Kind {
        resource,
        group,
        namespace: namespace.map(str::to_owned),
        list_again: LIST_AGAIN_ALL,
        is_optional: true,
        keep: |_| false,
    }
}

/// All slices, and the devices in them.
#[derive(Debug)]
pub(super) struct Slices {
    pub(super) all: Shared<Slice>,
    /// The devices, and the change of the slices after which they were found.
    inventory: Mutex<(u64, Arc<Inventory>)>,
}

impl Slices {
    /// Returns the devices. Looks through the slices only if these have changed.
    pub(super) fn inventory(&self) -> Arc<Inventory> {
        let changes = self.all.changes();
        let mut known = lock(&self.inventory);
        if known.0 != changes {
            *known = (changes, Arc::new(Inventory::of(self.all.store.state())));
        }
        Arc::clone(&known.1)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
