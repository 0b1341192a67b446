//! The blocks of the KV cache: their holders, their content, and the order of eviction.

use alloc::vec::Vec;
use core::hash::{BuildHasherDefault, Hasher};
use hashbrown::HashMap;

/// Index of a block.
pub(crate) type BlockId = u32;

const NONE: BlockId = BlockId::MAX;

/// A fixed number of blocks. Each block is in one of three states:
///
/// - *held* by one or more sequences
/// - *evictable*: without a holder, its content is still in the cache
/// - *blank*: without a holder and without content
///
/// Blank blocks are handed out first, then the evictable block that was released longest ago.
///
/// vLLM keeps blank and evictable blocks in one queue, so it may drop content while blank blocks
/// are left. Keeping them apart makes the cache exactly an LRU of the memory without a holder. A
/// test can compare that with a plain list.
///
/// Memory is allocated when a block is first used, so hundreds of idle engines cost nothing.
#[derive(Debug)]
pub(crate) struct BlockPool {
    capacity: u32,
    blocks: Vec<Block>,
    blank: Vec<BlockId>,
    /// The ends of the list of evictable blocks. `oldest` is evicted first.
    oldest: BlockId,
    newest: BlockId,
    evictable: u32,
    cached: HashMap<u64, BlockId, BuildHasherDefault<Premixed>>,
    releases: u64,
}

#[derive(Debug)]
struct Block {
    holders: u32,
    /// The hash under which the block is cached. `None` when its content cannot be shared.
    hash: Option<u64>,
    older: BlockId,
    newer: BlockId,
}

impl BlockPool {
    pub(crate) fn new(capacity: u32) -> Self {
        Self {
            capacity,
            blocks: Vec::new(),
            blank: Vec::new(),
            oldest: NONE,
            newest: NONE,
            evictable: 0,
            cached: HashMap::default(),
            releases: 0,
        }
    }

    /// Returns the number of blocks that can be allocated, including evictable ones.
    pub(crate) fn free(&self) -> u32 {
        self.capacity - self.blocks.len() as u32 + self.blank.len() as u32 + self.evictable
    }

    pub(crate) fn used(&self) -> u32 {
        self.capacity - self.free()
    }

    pub(crate) fn cached(&self) -> u32 {
        self.cached.len() as u32
    }

    /// Returns a count that grows whenever a block may have become free.
    pub(crate) fn releases(&self) -> u64 {
        self.releases
    }

    /// Returns how many leading entries of `chain` are cached, and how many of those blocks have no
    /// holder.
    pub(crate) fn lookup(&self, chain: &[u64]) -> (u32, u32) {
        let mut unheld = 0;
        let mut hits = 0;
        for hash in chain {
            let Some(block) = self
                .cached
                .get(hash)
                .and_then(|id| self.blocks.get(*id as usize))
            else {
                break;
            };
            hits += 1;
            unheld += u32::from(block.holders == 0);
        }
        (hits, unheld)
    }

    /// Adds a holder to the block cached as `hash`. Returns `None` if there is no such block.
    pub(crate) fn share(&mut self, hash: u64) -> Option<BlockId> {
        let id = *self.cached.get(&hash)?;
        let block = self.blocks.get_mut(id as usize)?;
        block.holders += 1;
        if block.holders == 1 {
            self.unlink(id);
        }
        Some(id)
    }

    /// Returns a block without content and with one holder. Returns `None` when no block is free.
    pub(crate) fn allocate(&mut self) -> Option<BlockId> {
        if let Some(id) = self.blank.pop() {
            self.blocks.get_mut(id as usize)?.holders = 1;
            return Some(id);
        }
        if (self.blocks.len() as u32) < self.capacity {
            self.blocks.push(Block {
                holders: 1,
                hash: None,
                older: NONE,
                newer: NONE,
            });
            return Some(self.blocks.len() as u32 - 1);
        }
        let id = self.oldest;
        let hash = self.blocks.get_mut(id as usize)?.hash.take();
        self.unlink(id);
        if let Some(hash) = hash {
            self.cached.remove(&hash);
        }
        self.blocks.get_mut(id as usize)?.holders = 1;
        Some(id)
    }

    /// Lets others share the content of a held block as `hash`. If another block is already cached
    /// under that hash, that block stays in the cache. This block then stays private, and is blank
    /// once it is released.
    pub(crate) fn publish(&mut self, id: BlockId, hash: u64) {
        if let hashbrown::hash_map::Entry::Vacant(entry) = self.cached.entry(hash)
            && let Some(block) = self.blocks.get_mut(id as usize)
            && block.hash.is_none()
        {
            block.hash = Some(hash);
            entry.insert(id);
        }
    }

    /// Removes one holder.
    pub(crate) fn release(&mut self, id: BlockId) {
        self.releases += 1;
        let Some(block) = self.blocks.get_mut(id as usize) else {
            return;
        };
        block.holders = block.holders.saturating_sub(1);
        if block.holders > 0 {
            return;
        }
        if block.hash.is_none() {
            self.blank.push(id);
        } else {
            self.link_newest(id);
        }
    }

    fn link_newest(&mut self, id: BlockId) {
        let before = self.newest;
        if let Some(block) = self.blocks.get_mut(id as usize) {
            block.older = before;
            block.newer = NONE;
        }
        match self.blocks.get_mut(before as usize) {
            Some(block) => block.newer = id,
            None => self.oldest = id,
        }
        self.newest = id;
        self.evictable += 1;
    }

    fn unlink(&mut self, id: BlockId) {
        let Some(block) = self.blocks.get_mut(id as usize) else {
            return;
        };
        let (older, newer) = (block.older, block.newer);
        (block.older, block.newer) = (NONE, NONE);
        match self.blocks.get_mut(older as usize) {
            Some(block) => block.newer = newer,
            None => self.oldest = newer,
        }
        match self.blocks.get_mut(newer as usize) {
            Some(block) => block.older = older,
            None => self.newest = older,
        }
        self.evictable -= 1;
    }
}

/// A hasher that passes the key through. Keys are already well-mixed hashes, so hashing again would
/// only cost time.
#[derive(Debug, Default)]
struct Premixed(u64);

impl Hasher for Premixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests;
