//! Makes lists of the endpoints of one pool from copies of the API server's objects.

use super::found::{self, Found};
use super::hardware::{Clusters, Hardware};
use super::section::{Kubernetes, Name, Selection, Source};
use super::watch::{self, EVENTS, Kind, LIST_AGAIN, Of, Told, is_listed};
use super::{inference_pool, pods, slices};
use crate::members::{Listing, Target};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::DynamicObject;
use kube::runtime::reflector::store::{Store, Writer};
use kube::runtime::watcher::watcher;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// A copy of the objects that list endpoints.
#[derive(Debug)]
enum Copy {
    Pods(Store<Pod>, Selection),
    Slices(Store<EndpointSlice>),
}

/// Copies of the objects that a pool needs, and what is wrong with them.
pub(super) struct Follower {
    client: Client,
    settings: Kubernetes,
    tell: mpsc::Sender<Told>,
    told: mpsc::Receiver<Told>,
    /// Why copies may be old, by kind and namespace.
    failing: BTreeMap<Of, String>,
    /// The InferencePool. Absent: the source is of another kind.
    pool: Option<(Name, Store<DynamicObject>)>,
    /// The hardware of the pods.
    hardware: Hardware,
    /// The objects that list endpoints, and the task that keeps the copy. Absent: it is not known
    /// yet which pods the InferencePool selects.
    copy: Option<(Copy, JoinSet<()>)>,
    /// The tasks that keep the other copies.
    tasks: JoinSet<()>,
}

impl Follower {
    pub(super) fn start(client: Client, settings: Kubernetes, clusters: &Clusters) -> Self {
        let (tell, told) = mpsc::channel(EVENTS);
        let hardware = Hardware::start(clusters, &client, &settings, &tell);
        let mut follower = Self {
            client,
            settings,
            tell,
            told,
            failing: BTreeMap::new(),
            pool: None,
            hardware,
            copy: None,
            tasks: JoinSet::new(),
        };
        follower.start_watches();
        follower
    }

    fn start_watches(&mut self) {
        match self.settings.source.clone() {
            Source::InferencePool(name) => {
                let (api, kind, writer) = inference_pool::api(&self.client, Some(&name.namespace));
                let selected = kind
                    .selected()
                    .fields(&format!("metadata.name={}", name.name));
                let begin = move || watcher(api.clone(), selected.clone());
                self.pool = Some((name, writer.as_reader()));
                let tell = self.tell.clone();
                self.tasks.spawn(watch::follow(begin, writer, kind, tell));
            }
            Source::Service { name, .. } => {
                let selected = format!("kubernetes.io/service-name={}", name.name);
                let (store, task) = self.copy_in(
                    "endpointslices",
                    "discovery.k8s.io",
                    &name.namespace,
                    &selected,
                );
                self.copy = Some((Copy::Slices(store), task));
            }
            Source::Pods {
                namespace,
                selection,
            } => self.select(&namespace, selection),
        }
    }

    /// Waits until a copy has changed or may be old. Returns all messages that have come by then.
    pub(super) async fn changed(&mut self) -> Vec<Told> {
        // The channel never closes, because this struct holds a sender.
        let first = self.told.recv().await;
        let others = std::iter::from_fn(|| self.told.try_recv().ok());
        first.into_iter().chain(others).take(EVENTS).collect()
    }

    /// Makes a list after these messages. A list that is absent leaves the one before.
    pub(super) fn list(&mut self, told: Vec<Told>, before: &[Target]) -> Listing {
        for Told { of, error } in told {
            match error {
                Some(why) => self.failing.insert(of, why),
                None => self.failing.remove(&of),
            };
        }
        let selected = self.reselect();
        let listed = selected.and_then(|()| self.targets(before).transpose());
        let (listed, wrong) = match listed {
            Ok(listed) => (listed, None),
            Err(why) => (None, Some(why)),
        };
        Listing {
            listed,
            error: self.failing.values().next().cloned().or(wrong),
            missing: self.hardware.missing(),
        }
    }

    /// Follows the pods that the InferencePool selects.
    fn reselect(&mut self) -> Result<(), String> {
        let pool = self.pool.as_ref();
        let Some((name, store)) = pool.filter(|(_, store)| is_listed(store).is_some()) else {
            return Ok(());
        };
        let selection = inference_pool::selection(&store.state(), name)?;
        let namespace = name.namespace.clone();
        self.select(&namespace, selection);
        Ok(())
    }

    /// Follows these pods instead of those before.
    fn select(&mut self, namespace: &str, selection: Selection) {
        if let Some((Copy::Pods(_, before), _)) = &mut self.copy {
            // The ports are read when the list is made, so the copy of the pods stays.
            if before.labels == selection.labels {
                *before = selection;
                return;
            }
        }
        let (store, task) = self.copy_in("pods", "", namespace, &selection.labels());
        self.copy = Some((Copy::Pods(store, selection), task));
    }

    /// Starts a copy of the objects with these labels in a namespace, and the task that keeps it.
    fn copy_in<K>(
        &self,
        resource: &'static str,
        group: &'static str,
        namespace: &str,
        labels: &str,
    ) -> (Store<K>, JoinSet<()>)
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let kind = Kind {
            resource,
            group,
            namespace: Some(namespace.to_owned()),
            list_again: LIST_AGAIN,
            is_optional: false,
            keep: |_| true,
        };
        let selected = kind.selected().labels(labels);
        let writer = Writer::new(());
        let store = writer.as_reader();
        let begin = move || watcher(api.clone(), selected.clone());
        let mut task = JoinSet::new();
        task.spawn(watch::follow(begin, writer, kind, self.tell.clone()));
        (store, task)
    }

    /// Makes the list from the copies. `None`: not everything is known yet.
    fn targets(&mut self, before: &[Target]) -> Option<Result<Vec<Target>, String>> {
        let (copy, _) = self.copy.as_ref()?;
        let found: Result<Vec<Found>, String> = match copy {
            Copy::Pods(pods, selection) => {
                is_listed(pods)?;
                let pods = pods.state();
                let found = |pod| pods::found(pod, &selection.ports, &self.settings.reading);
                Ok(pods.iter().filter_map(|pod| found(pod.as_ref())).collect())
            }
            Copy::Slices(slices) => {
                is_listed(slices)?;
                let port = match &self.settings.source {
                    Source::Service { port, .. } => port.as_ref(),
                    _ => None,
                };
                slices::found(&slices.state(), port)
            }
        };
        if !self.hardware.is_known() {
            return None;
        }
        Some(found.map(|mut found| {
            let pods = found.iter().map(|one| (one.uid.as_ref(), &one.asks));
            let known = self.hardware.of(pods);
            for (one, known) in found.iter_mut().zip(known) {
                one.learn(known);
            }
            found::targets(&found, before, &self.settings.reading)
        }))
    }
}
