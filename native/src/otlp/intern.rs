//! Dictionary encoding: byte strings to dense numbers, one table a call.

use hashbrown::HashTable;
use std::hash::{BuildHasher, RandomState};
use xxhash_rust::xxh3::xxh3_64_with_seed;

struct Slot {
    hash: u64,
    start: usize,
    end: usize,
}

/// Byte strings in order of first sight. Each table has a hash seed of its own, since clients choose the keys.
pub struct Interner {
    table: HashTable<u32>,
    slots: Vec<Slot>,
    arena: Vec<u8>,
    seed: u64,
}

impl Interner {
    pub fn new() -> Self {
        Interner { table: HashTable::new(), slots: Vec::new(), arena: Vec::new(), seed: RandomState::new().hash_one(0) }
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn get(&self, number: usize) -> &[u8] {
        let slot = &self.slots[number];
        &self.arena[slot.start..slot.end]
    }

    /// The number of `key`, and whether it was seen for the first time.
    #[inline]
    pub fn intern(&mut self, key: &[u8]) -> (u32, bool) {
        let hash = xxh3_64_with_seed(key, self.seed);
        let (slots, arena) = (&self.slots, &self.arena);
        let found = self.table.find(hash, |&number| {
            let slot = &slots[number as usize];
            slot.hash == hash && &arena[slot.start..slot.end] == key
        });
        match found {
            Some(&number) => (number, false),
            None => (self.insert(hash, key), true),
        }
    }

    #[inline(never)]
    fn insert(&mut self, hash: u64, key: &[u8]) -> u32 {
        let number = self.slots.len() as u32;
        let start = self.arena.len();
        self.arena.extend_from_slice(key);
        self.slots.push(Slot { hash, start, end: self.arena.len() });
        let slots = &self.slots;
        self.table.insert_unique(hash, number, |&other| slots[other as usize].hash);
        number
    }
}

/// Appends one part of a key of several, so that parts cannot run into each other.
#[inline]
pub fn push_part(key: &mut Vec<u8>, part: &[u8]) {
    key.extend_from_slice(&(part.len() as u32).to_le_bytes());
    key.extend_from_slice(part);
}

/// The parts of a key in order.
pub fn parts(mut key: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = key.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        key = rest;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_by_first_sight() {
        let mut interner = Interner::new();
        let keys: Vec<Vec<u8>> = (0..1000u32).map(|number| number.to_le_bytes().repeat(9)).collect();
        for (number, key) in keys.iter().enumerate() {
            assert_eq!(interner.intern(key), (number as u32, true));
        }
        for (number, key) in keys.iter().enumerate().rev() {
            assert_eq!(interner.intern(key), (number as u32, false));
            assert_eq!(interner.get(number), key);
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let mut key = Vec::new();
        for part in [&b"ab"[..], b"", b"c"] {
            push_part(&mut key, part);
        }
        assert_eq!(parts(&key).collect::<Vec<_>>(), [&b"ab"[..], b"", b"c"]);
    }
}
