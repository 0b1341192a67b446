//! The hardware class of pods, so that replicas of one pool may run on different accelerators.
//!
//! The first of these that knows a pod's hardware tells its class:
//!
//! 1. the devices that were allocated for its claims (dynamic resource allocation): pod -> `claim`
//!    -> `inventory` of the `slice`s in which drivers list each `device`;
//! 2. labels of its node (`nodes`), with the accelerators that the pod asks for;
//! 3. a label of the pod.
//!
//! `hub` keeps copies of claims, slices and nodes. Where one of them may not be read or does not
//! exist, the next source tells the class.

mod asks;
mod claim;
mod class;
mod device;
mod hub;
mod inventory;
mod nodes;
mod slice;
mod version;

pub(super) use asks::Asks;
pub(crate) use hub::Clusters;

use super::section::{Kubernetes, Source};
use super::shared::Shared;
use super::watch::Told;
use asks::Asker;
use claim::{Claim, Used};
use hub::{NodeLabels, Slices};
use inventory::Inventory;
use kube::Client;
use kube::runtime::reflector::ObjectRef;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use version::Version;

/// What is known of the hardware of a pool's pods.
#[derive(Debug)]
pub(super) struct Hardware {
    settings: Kubernetes,
    /// Absent: what a pod says is known with the pod.
    pods: Option<Arc<Shared<Asker>>>,
    /// Absent: the settings do not ask for nodes.
    nodes: Option<Arc<Shared<NodeLabels>>>,
    /// Absent: the settings do not ask for devices.
    devices: Option<(Arc<Slices>, Arc<Shared<Claim>>)>,
    /// The classes that devices gave pods, by UID. A pod keeps its devices, so one whose driver is
    /// being updated, and lists none meanwhile, keeps its class.
    given: BTreeMap<String, String>,
    /// The tasks that tell of changes.
    tasks: JoinSet<()>,
}

/// What is known of one pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Known {
    /// Its class. Absent: not known.
    pub(super) class: Option<String>,
    /// Its zone. Absent: not known.
    pub(super) zone: Option<String>,
}

impl Hardware {
    /// Starts to read what the settings ask for. Must be called within a runtime. `tell`: is told
    /// when something has changed.
    pub(super) fn start(
        clusters: &Clusters,
        client: &Client,
        settings: &Kubernetes,
        tell: &mpsc::Sender<Told>,
    ) -> Self {
        let reading = &settings.reading;
        let (hub, namespace) = (clusters.hub(reading), settings.source.namespace());
        let asks = reading.device_claims || reading.node_labels || reading.class_label.is_some();
        let only_names = matches!(settings.source, Source::Service { .. });
        let devices = || (hub.slices(client), hub.claims(client, namespace));
        let new = Self {
            pods: (asks && only_names).then(|| hub.pods(client, namespace)),
            nodes: reading.node_labels.then(|| hub.nodes(client)),
            devices: reading.device_claims.then(devices),
            settings: settings.clone(),
            given: BTreeMap::new(),
            tasks: JoinSet::new(),
        };
        new.telling(tell)
    }

    fn telling(mut self, tell: &mpsc::Sender<Told>) -> Self {
        if let Some(pods) = &self.pods {
            self.tasks.spawn(pods.tell(tell.clone()));
        }
        if let Some(nodes) = &self.nodes {
            self.tasks.spawn(nodes.tell(tell.clone()));
        }
        if let Some((slices, claims)) = &self.devices {
            self.tasks.spawn(slices.all.tell(tell.clone()));
            self.tasks.spawn(claims.tell(tell.clone()));
        }
        self
    }

    /// Whether all is known that can be. Until then a class might be one of less exact a source.
    pub(super) fn is_known(&self) -> bool {
        let pods = self.pods.as_ref().is_none_or(|pods| pods.is_known());
        let nodes = self.nodes.as_ref().is_none_or(|nodes| nodes.is_known());
        let is_known = |(slices, claims): &(Arc<Slices>, Arc<Shared<Claim>>)| {
            slices.all.is_known() && claims.is_known()
        };
        pods && nodes && self.devices.as_ref().is_none_or(is_known)
    }

    /// Says what keeps classes and zones from being known.
    pub(super) fn missing(&self) -> Vec<String> {
        let pods = self.pods.as_ref().and_then(|pods| pods.error());
        let devices = self.devices.as_ref();
        let claims = devices.and_then(|(_, claims)| claims.error());
        let slices = devices.and_then(|(slices, _)| slices.all.error());
        let nodes = self.nodes.as_ref().and_then(|nodes| nodes.error());
        [pods, claims, slices, nodes]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Returns what is known of all pods of the pool: pairs of a pod's UID, absent if it is not
    /// known, and what it asks for.
    pub(super) fn of<'p>(
        &mut self,
        pods: impl Iterator<Item = (Option<&'p String>, &'p Asks)>,
    ) -> Vec<Known> {
        let inventory = self.devices.as_ref().map(|(slices, _)| slices.inventory());
        let before = std::mem::take(&mut self.given);
        let mut all = Vec::new();
        for (uid, asks) in pods {
            let asks = self.whole(uid, asks);
            let of_devices = || self.of_devices(&asks, inventory.as_deref()?);
            let given = of_devices().or_else(|| before.get(uid?).cloned());
            if let (Some(uid), Some(given)) = (uid, &given) {
                self.given.insert(uid.clone(), given.clone());
            }
            let node = asks.node.as_ref().and_then(|name| self.node(name));
            let labels = node.as_ref().and_then(|node| node.metadata.labels.as_ref());
            let of_node = || nodes::class(labels?, &asks.limits);
            all.push(Known {
                class: given.or_else(of_node).or_else(|| asks.label.clone()),
                zone: labels.and_then(nodes::zone),
            });
        }
        all
    }

    /// Adds what a pod says that is only known by name.
    fn whole<'a>(&self, uid: Option<&String>, asks: &'a Asks) -> Cow<'a, Asks> {
        let found = || {
            let namespace = self.settings.source.namespace();
            let key = ObjectRef::new(asks.pod.as_ref()?).within(namespace);
            let label = self.settings.reading.class_label.as_ref();
            self.pods.as_ref()?.store.get(&key)?.asks(uid?, label)
        };
        found().map_or(Cow::Borrowed(asks), Cow::Owned)
    }

    fn of_devices(&self, asks: &Asks, inventory: &Inventory) -> Option<String> {
        let (_, claims) = self.devices.as_ref()?;
        let claim = |used: &Used| {
            let key = ObjectRef::new_with(&used.name, Version::default());
            claims
                .store
                .get(&key.within(self.settings.source.namespace()))
        };
        let claims: Option<Vec<Arc<Claim>>> = asks.claims.iter().map(claim).collect();
        let claims = claims?;
        class::of_claims(
            asks.claims.iter().zip(claims.iter().map(|claim| &**claim)),
            inventory,
        )
    }

    fn node(&self, name: &str) -> Option<Arc<NodeLabels>> {
        self.nodes.as_ref()?.store.get(&ObjectRef::new(name))
    }
}
