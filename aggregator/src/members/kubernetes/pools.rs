//! Follows the InferencePools of a cluster.

use super::client::client;
use super::section::{InferencePools, Name};
use super::watch::{self, EVENTS, Told, is_listed};
use super::{RETRY, inference_pool};
use kube::runtime::watcher::watcher;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Calls `tell` with the names of all InferencePools when they change, or with the reason why they
/// are not known. Never ends.
pub(crate) async fn follow(
    settings: &InferencePools,
    mut tell: impl FnMut(Result<BTreeSet<Name>, String>),
) {
    loop {
        match client(&settings.reading).await {
            Ok(client) => watch_all(&client, settings, &mut tell).await,
            Err(why) => tell(Err(why)),
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn watch_all(
    client: &kube::Client,
    settings: &InferencePools,
    tell: &mut impl FnMut(Result<BTreeSet<Name>, String>),
) {
    let (told, mut heard) = mpsc::channel(EVENTS);
    let mut tasks = JoinSet::new();
    let namespaces = settings.namespaces.iter().map(String::as_str).map(Some);
    let mut namespaces: Vec<Option<&str>> = namespaces.collect();
    if namespaces.is_empty() {
        namespaces.push(None);
    }
    let mut stores = Vec::new();
    for namespace in namespaces {
        let (api, kind, writer) = inference_pool::api(client, namespace);
        stores.push(writer.as_reader());
        let selected = kind.selected();
        let begin = move || watcher(api.clone(), selected.clone());
        tasks.spawn(watch::follow(begin, writer, kind, told.clone()));
    }
    let mut failing = BTreeMap::new();
    while let Some(Told { of, error }) = heard.recv().await {
        match error {
            Some(why) => failing.insert(of, why),
            None => failing.remove(&of),
        };
        if let Some(why) = failing.values().next() {
            tell(Err(why.clone()));
        }
        // One namespace may have new ones while another cannot be listed.
        let listed: Option<Vec<()>> = stores.iter().map(is_listed).collect();
        if listed.is_some() {
            let pools = stores.iter().flat_map(|store| store.state());
            let name = |pool: std::sync::Arc<kube::core::DynamicObject>| {
                Some(Name {
                    namespace: pool.metadata.namespace.clone()?,
                    name: pool.metadata.name.clone()?,
                })
            };
            tell(Ok(pools.filter_map(name).collect()));
        }
    }
}
