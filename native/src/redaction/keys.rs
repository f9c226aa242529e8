//! Which key rule concerns an entry, remembered: the same keys come with every record.

use crate::redaction::rules::Rules;

const SLOTS: usize = 256;

#[derive(Clone, Default)]
struct Slot {
    path: Vec<u8>,
    key_length: usize,
    active: u128,
    rule: Option<usize>,
    used: bool,
}

/// The rules of the keys of one call, one in each slot; another in the same slot takes its place.
pub struct KnownKeys(Vec<Slot>);

impl KnownKeys {
    pub fn new() -> Self {
        KnownKeys(Vec::new())
    }

    /// `path` ends in the key, which is `key_length` long.
    #[inline]
    pub fn rule(&mut self, rules: &Rules, path: &[u8], key_length: usize, active: u128) -> Option<usize> {
        if rules.keys.is_empty() {
            return None;
        }
        if self.0.is_empty() {
            self.0.resize(SLOTS, Slot::default());
        }
        let slot = &mut self.0[place(path)];
        let known = slot.used && slot.key_length == key_length && slot.active == active && slot.path == path;
        if !known {
            slot.path.clear();
            slot.path.extend_from_slice(path);
            slot.key_length = key_length;
            slot.active = active;
            slot.used = true;
            slot.rule = rules.key_rule(&path[path.len() - key_length..], path, active);
        }
        slot.rule
    }
}

/// A slot by length, first and last bytes.
#[inline(always)]
fn place(path: &[u8]) -> usize {
    let word = |bytes: Option<&[u8; 4]>| u64::from(u32::from_le_bytes(*bytes.unwrap_or(&[0; 4])));
    let ends = word(path.first_chunk()) ^ word(path.last_chunk()) << 32;
    let mixed = (ends ^ (path.len() as u64) << 17).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as usize
}
