//! A table as it goes out, and to whom.

use super::estimator::Estimated;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;
use tokio::time::Instant;
use trimtab_loadtable::{Table, Version, limits};

/// Encoded once, shared by every waiting proxy.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) version: Version,
    /// With the placement key, so for proxies alone.
    pub(super) bytes: Bytes,
    pub(crate) table: Table,
    pub(crate) at: Instant,
    /// By proxy, the sequence of its newest report that the table has taken in.
    pub(crate) included: HashMap<u64, u64>,
    /// The same table for proxies that have none of this aggregator, encoded when the first of them asks.
    first: OnceLock<Bytes>,
    /// The same table without the placement key, encoded when the first asks.
    keyless: OnceLock<Bytes>,
}

impl Published {
    /// Encodes a table.
    ///
    /// # Errors
    /// It breaks the limits of the format; says which.
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

    /// The bytes for a proxy that has none of this aggregator's tables. `first`: the table with all that such a proxy has to know.
    pub(super) fn first(&self, first: impl FnOnce(&Table) -> Table) -> Bytes {
        let encode = || Bytes::from(first(&self.table).encode());
        let bytes = self.first.get_or_init(encode);
        if bytes.len() <= limits::TABLE_BYTES {
            bytes.clone()
        } else {
            self.bytes.clone()
        }
    }

    /// The bytes for people: all but the secret of the placement hashes, whose place is all zeros.
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

/// The newest table, and who waits for the next.
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

    /// Nobody gets the newest table any more.
    pub(super) fn withdraw(&self) {
        self.newest.send_replace(None);
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Arc<Published>>> {
        self.newest.subscribe()
    }

    /// `None` before the first.
    pub(super) fn newest(&self) -> Option<Arc<Published>> {
        self.newest.borrow().clone()
    }
}
