//! LoRA slots: which adapters the accelerator holds.

use alloc::vec::Vec;

/// The adapters that are resident. The least recently used one is evicted first. An adapter that a
/// running sequence uses is never evicted.
#[derive(Debug)]
pub(crate) struct AdapterSlots {
    limit: usize,
    slots: Vec<Slot>,
    tick: u64,
}

#[derive(Debug)]
struct Slot {
    adapter: u32,
    /// Sequences in the batch that use the adapter.
    users: u32,
    /// The tick at which a user last came or left.
    used_at: u64,
}

/// Whether taking an adapter loads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    Resident,
    Loaded,
}

impl AdapterSlots {
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            limit: limit as usize,
            slots: Vec::new(),
            tick: 0,
        }
    }

    /// Returns whether `adapter` is in a slot.
    pub(crate) fn holds(&self, adapter: u32) -> bool {
        self.slots.iter().any(|slot| slot.adapter == adapter)
    }

    /// Returns whether `take` would succeed.
    pub(crate) fn can_take(&self, adapter: u32) -> bool {
        self.slots.len() < self.limit
            || self
                .slots
                .iter()
                .any(|s| s.adapter == adapter || s.users == 0)
    }

    /// Adds a user of `adapter`, and loads the adapter if it is not resident. Returns `None` when
    /// all slots are used by other adapters.
    pub(crate) fn take(&mut self, adapter: u32) -> Option<Taken> {
        self.tick += 1;
        let tick = self.tick;
        if let Some(slot) = self.slots.iter_mut().find(|s| s.adapter == adapter) {
            slot.users += 1;
            slot.used_at = tick;
            return Some(Taken::Resident);
        }
        let fresh = Slot {
            adapter,
            users: 1,
            used_at: tick,
        };
        if self.slots.len() < self.limit {
            self.slots.push(fresh);
        } else {
            *self
                .slots
                .iter_mut()
                .filter(|s| s.users == 0)
                .min_by_key(|s| s.used_at)? = fresh;
        }
        Some(Taken::Loaded)
    }

    /// Removes one user of `adapter`.
    pub(crate) fn release(&mut self, adapter: u32) {
        self.tick += 1;
        if let Some(slot) = self.slots.iter_mut().find(|s| s.adapter == adapter) {
            slot.users = slot.users.saturating_sub(1);
            slot.used_at = self.tick;
        }
    }

    /// Frees the slot of `adapter` if no sequence uses it. The next use then loads it again.
    pub(crate) fn evict(&mut self, adapter: u32) {
        self.slots.retain(|s| s.adapter != adapter || s.users > 0);
    }

    /// Returns the adapters that running sequences use.
    pub(crate) fn in_use(&self) -> impl Iterator<Item = u32> {
        self.slots.iter().filter(|s| s.users > 0).map(|s| s.adapter)
    }
}
