//! LoRA slots: which adapters the accelerator holds.

use alloc::vec::Vec;

/// The adapters resident, least recently used evicted first. An adapter that a running sequence uses is never evicted.
#[derive(Debug)]
pub(crate) struct AdapterSlots {
    limit: usize,
    slots: Vec<Slot>,
    tick: u64,
}

#[derive(Debug)]
struct Slot {
    adapter: u32,
    /// Sequences of the batch that use it.
    users: u32,
    /// When the last user came or left.
    used_at: u64,
}

/// What taking an adapter costs.
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

    /// Whether `adapter` is in a slot.
    pub(crate) fn holds(&self, adapter: u32) -> bool {
        self.slots.iter().any(|slot| slot.adapter == adapter)
    }

    /// Whether `take` would succeed.
    pub(crate) fn can_take(&self, adapter: u32) -> bool {
        self.slots.len() < self.limit
            || self
                .slots
                .iter()
                .any(|s| s.adapter == adapter || s.users == 0)
    }

    /// Adds a user of `adapter`, loading it when it is absent. `None` when every slot is in use by another adapter.
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

    /// Removes a user.
    pub(crate) fn release(&mut self, adapter: u32) {
        self.tick += 1;
        if let Some(slot) = self.slots.iter_mut().find(|s| s.adapter == adapter) {
            slot.users = slot.users.saturating_sub(1);
            slot.used_at = self.tick;
        }
    }

    /// Frees the slot of an adapter that nobody uses, so that its next use loads it again.
    pub(crate) fn evict(&mut self, adapter: u32) {
        self.slots.retain(|s| s.adapter != adapter || s.users > 0);
    }

    /// The adapters that running sequences use.
    pub(crate) fn in_use(&self) -> impl Iterator<Item = u32> {
        self.slots.iter().filter(|s| s.users > 0).map(|s| s.adapter)
    }
}
