//! A table as it is published, and the calls that wait for it.

use super::estimator::Estimated;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;
use tokio::time::Instant;
use trimtab_loadtable::{Table, Version, limits};

/// A table that is encoded once. All waiting proxies share its bytes.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) version: Version,
    /// Contains the placement key, so only proxies get it.
    pub(super) bytes: Bytes,
    pub(crate) table: Table,
    pub(crate) at: Instant,
    /// By proxy: the sequence of its newest report that the table has taken in.
    pub(crate) included: HashMap<u64, u64>,
    /// The table for proxies that have none of this epoch. Encoded when the first of them asks.
    first: OnceLock<Bytes>,
    /// The table without the placement key. Encoded at the first request for it.
    keyless: OnceLock<Bytes>,
}

impl Published {
    /// Encodes a table.
    ///
    /// # Errors
    /// Says which limit of the format the table breaks.
    pub(super) fn new(estimated: Estimated) -> Result<Self, String> {
        let table = estimated.table;
        let bytes = Bytes::from(table.encode());
        table.check().map_err(|error| error.to_string())?;
        if bytes.len() > limits::TABLE_BYTES {
            return Err(format!(
                "{} bytes are more than the {} of a table; split the pool",
                bytes.len(),
                limits::TABLE_BYTES
            ));
        }
        Ok(Self {
            version: table.version,
            bytes,
            table,
            at: Instant::now(),
            included: estimated.included,
            first: OnceLock::new(),
            keyless: OnceLock::new(),
        })
    }

    /// Returns the bytes for a proxy that has no table of this epoch. `first` adds all that such a
    /// proxy has to know. If that is too large, returns the usual bytes.
    pub(super) fn first(&self, first: impl FnOnce(&Table) -> Table) -> Bytes {
        let encode = || Bytes::from(first(&self.table).encode());
        let bytes = self.first.get_or_init(encode);
        if bytes.len() <= limits::TABLE_BYTES {
            bytes.clone()
        } else {
            self.bytes.clone()
        }
    }

    /// Returns the bytes for people: zeros stand in place of the placement key.
    pub(crate) fn keyless(&self) -> Bytes {
        let encode = || {
            let table = Table {
                placement_key: [0; 16],
                ..self.table.clone()
            };
            Bytes::from(table.encode())
        };
        self.keyless.get_or_init(encode).clone()
    }
}

/// The newest table, and the calls that wait for the next one.
#[derive(Debug)]
pub(super) struct Publication {
    newest: watch::Sender<Option<Arc<Published>>>,
}

impl Publication {
    pub(super) fn new() -> Self {
        Self {
            newest: watch::channel(None).0,
        }
    }

    pub(super) fn publish(&self, published: Published) {
        self.newest.send_replace(Some(Arc::new(published)));
    }

    /// Withdraws the newest table, so that nobody gets it any more.
    pub(super) fn withdraw(&self) {
        self.newest.send_replace(None);
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Arc<Published>>> {
        self.newest.subscribe()
    }

    /// Returns the newest table. `None`: there is none yet, or it was withdrawn.
    pub(super) fn newest(&self) -> Option<Arc<Published>> {
        self.newest.borrow().clone()
    }
}
