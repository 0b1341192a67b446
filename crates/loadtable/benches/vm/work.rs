//! The work that is measured in a VM. The same code runs natively for comparison.

#[path = "../busy/mod.rs"]
mod busy;
#[path = "../../../pick/benches/pool/mod.rs"]
mod pool;

use std::rc::Rc;

use trimtab_loadtable::{Table, snapshot_after};
use trimtab_pick::{Config, Millis, Picker, Request, Rng, Snapshot};

/// A picker with a table of a pool, and the bytes of a table of as many endpoints.
pub(crate) struct Work {
    picker: Picker,
    rng: Rng,
    requests: Vec<Request>,
    at: usize,
    bytes: Vec<u8>,
    table: Table,
    indexed: Rc<Snapshot>,
}

impl Work {
    pub(crate) fn new(endpoints: u32) -> Self {
        let mut picker = Picker::new(Config::default());
        let count = u64::from(endpoints);
        let snapshot = Snapshot::new(pool::rows(count), pool::facts(count), Millis(0));
        picker.on_table(Rc::new(snapshot), None);
        let table = busy::table(endpoints);
        Self {
            picker,
            rng: Rng::new(1),
            requests: pool::requests(),
            at: 0,
            bytes: table.encode(),
            indexed: Rc::new(snapshot_after(&table, Millis(0), None)),
            table,
        }
    }

    /// Decides with a fresh table. Returns the sum of the choices, so that the compiler leaves
    /// nothing out.
    pub(crate) fn choose(&mut self, times: u32) -> u32 {
        let mut sum = 0_u32;
        for _ in 0..times {
            self.at = (self.at + 1) % self.requests.len();
            let Some(request) = self.requests.get(self.at) else {
                continue;
            };
            let decision = self.picker.choose(Millis(50), &mut self.rng, request);
            sum = sum.wrapping_add(decision.choices.as_slice().iter().sum());
        }
        sum
    }

    /// Decodes bytes to a checked table.
    pub(crate) fn decode(&mut self, times: u32) -> u32 {
        let rows = |_| Table::decode(&self.bytes).map_or(0, |table| table.endpoints.len());
        (0..times).map(rows).sum::<usize>() as u32
    }

    /// Indexes a table for decisions, after a table with the same members.
    pub(crate) fn index(&mut self, times: u32) -> u32 {
        let rows = |_| {
            let snapshot = snapshot_after(&self.table, Millis(0), Some(&self.indexed));
            snapshot.endpoints().len()
        };
        (0..times).map(rows).sum::<usize>() as u32
    }

    /// Indexes a table without the one before: the first table, or the first after members have
    /// changed.
    pub(crate) fn index_anew(&mut self, times: u32) -> u32 {
        let rows = |_| {
            snapshot_after(&self.table, Millis(0), None)
                .endpoints()
                .len()
        };
        (0..times).map(rows).sum::<usize>() as u32
    }
}
