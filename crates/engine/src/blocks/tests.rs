//! Compares the pool with a plain list.

use super::*;
use alloc::vec;
use proptest::prelude::*;

/// A simple LRU cache: lists of blocks, least recently released first.
struct Oracle {
    capacity: usize,
    /// Blocks with a holder: the hash if the block has one, and the number of holders.
    held: Vec<(BlockId, Option<u64>, u32)>,
    /// Cached blocks without a holder, oldest release first.
    idle: Vec<(BlockId, u64)>,
}

impl Oracle {
    fn free(&self) -> usize {
        self.capacity - self.held.len()
    }

    fn is_cached(&self, hash: u64) -> bool {
        self.held.iter().any(|(_, h, _)| *h == Some(hash))
            || self.idle.iter().any(|(_, h)| *h == hash)
    }

    fn allocate(&mut self, id: BlockId) {
        if self.held.len() + self.idle.len() == self.capacity {
            self.idle.remove(0);
        }
        self.held.push((id, None, 1));
    }

    fn share(&mut self, hash: u64) -> Option<BlockId> {
        if let Some(block) = self.held.iter_mut().find(|(_, h, _)| *h == Some(hash)) {
            block.2 += 1;
            return Some(block.0);
        }
        let place = self.idle.iter().position(|(_, h)| *h == hash)?;
        let (id, _) = self.idle.remove(place);
        self.held.push((id, Some(hash), 1));
        Some(id)
    }

    fn publish(&mut self, id: BlockId, hash: u64) {
        if !self.is_cached(hash)
            && let Some(block) = self
                .held
                .iter_mut()
                .find(|(b, h, _)| *b == id && h.is_none())
        {
            block.1 = Some(hash);
        }
    }

    fn release(&mut self, id: BlockId) {
        let place = self.held.iter().position(|(b, ..)| *b == id).unwrap();
        self.held[place].2 -= 1;
        if self.held[place].2 == 0
            && let (id, Some(hash), _) = self.held.remove(place)
        {
            self.idle.push((id, hash));
        }
    }
}

#[derive(Debug, Clone)]
enum Act {
    Allocate,
    Share(u64),
    Publish(usize, u64),
    Release(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => Just(Act::Allocate),
        2 => (0..12u64).prop_map(Act::Share),
        3 => (any::<usize>(), 0..12u64).prop_map(|(at, hash)| Act::Publish(at, hash)),
        4 => any::<usize>().prop_map(Act::Release),
    ]
}

proptest! {
    #[test]
    fn the_pool_is_an_lru_of_the_blocks_nobody_holds(capacity in 1..9u32, acts in prop::collection::vec(act(), 0..200)) {
        let mut pool = BlockPool::new(capacity);
        let mut oracle = Oracle { capacity: capacity as usize, held: vec![], idle: vec![] };
        // One entry per holder.
        let mut holders: Vec<BlockId> = vec![];
        for act in acts {
            match act {
                Act::Allocate => {
                    let id = pool.allocate();
                    prop_assert_eq!(id.is_some(), oracle.free() > 0);
                    if let Some(id) = id {
                        prop_assert!(!holders.contains(&id), "block {} handed out twice", id);
                        oracle.allocate(id);
                        holders.push(id);
                    }
                }
                Act::Share(hash) => {
                    let id = pool.share(hash);
                    prop_assert_eq!(id, oracle.share(hash));
                    holders.extend(id);
                }
                Act::Publish(at, hash) if !holders.is_empty() => {
                    let id = holders[at % holders.len()];
                    pool.publish(id, hash);
                    oracle.publish(id, hash);
                }
                Act::Release(at) if !holders.is_empty() => {
                    let id = holders.swap_remove(at % holders.len());
                    pool.release(id);
                    oracle.release(id);
                }
                Act::Publish(..) | Act::Release(_) => {}
            }
            prop_assert_eq!(pool.free() as usize, oracle.free());
            for hash in 0..12 {
                let unheld = oracle.idle.iter().filter(|(_, h)| *h == hash).count() as u32;
                prop_assert_eq!(pool.lookup(&[hash]), (u32::from(oracle.is_cached(hash)), unheld));
            }
        }
    }
}
