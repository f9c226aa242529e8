//! Pairs of a feature's name and its only value that came before. Columns of texts mostly have few of them, which come again
//! and again: they are known by their bytes, and not read.

const SLOT_BITS: u32 = 10;
const MOST_PAIRS: usize = 255;
const MOST_BYTES: usize = 48;

#[derive(Default)]
pub struct KnownPairs {
    /// The first so many: columns with more texts are read.
    pairs: Vec<KnownPair>,
    /// One more than the place of a pair in `pairs`, by `slot`; empty before the first one.
    slots: Vec<u8>,
}

struct KnownPair {
    column: u32,
    kind: u8,
    length: u8,
    bytes: [u8; MOST_BYTES],
    number: f64,
}

impl KnownPairs {
    /// Columns are others from now on.
    pub fn forget(&mut self) {
        if !self.pairs.is_empty() {
            self.pairs.clear();
            self.slots.fill(0);
        }
    }

    /// Kind and number of the value, where this pair of this column was kept.
    #[inline(always)]
    pub fn find(&self, column: usize, pair: &[u8]) -> Option<(u8, f64)> {
        let place = usize::from(*self.slots.get(slot(pair)?)?).checked_sub(1)?;
        let known = self.pairs.get(place)?;
        let bytes = known.bytes.get(..usize::from(known.length))?;
        (known.column as usize == column && are_same(bytes, pair)).then_some((known.kind, known.number))
    }

    pub fn keep(&mut self, column: usize, pair: &[u8], kind: u8, number: f64) {
        let Some(slot) = slot(pair) else { return };
        if pair.len() > MOST_BYTES || self.pairs.len() == MOST_PAIRS {
            return;
        }
        self.slots.resize(1 << SLOT_BITS, 0);
        if self.slots[slot] == 0 {
            let mut bytes = [0; MOST_BYTES];
            bytes[..pair.len()].copy_from_slice(pair);
            self.pairs.push(KnownPair { column: column as u32, kind, length: pair.len() as u8, bytes, number });
            self.slots[slot] = self.pairs.len() as u8;
        }
    }
}

/// By the ends of a pair. None for one that is shorter than any text's.
#[inline(always)]
fn slot(pair: &[u8]) -> Option<usize> {
    let (first, last) = (u64::from_le_bytes(*pair.first_chunk()?), u64::from_le_bytes(*pair.last_chunk()?));
    let mixed = (first.rotate_left(29) ^ last).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Some((mixed >> (u64::BITS - SLOT_BITS)) as usize)
}

/// Both have eight bytes at least: without a call, nor a choice, where they have no more than 24.
#[inline(always)]
fn are_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() || a.first_chunk::<8>() != b.first_chunk() || a.last_chunk::<8>() != b.last_chunk() {
        return false;
    }
    if a.len() > 24 {
        return a == b;
    }
    let middle = a.len().saturating_sub(16);
    a.get(middle..).and_then(|a| a.first_chunk::<8>()) == b.get(middle..).and_then(|b| b.first_chunk())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_found_until_columns_are_others() {
        let mut pairs = KnownPairs::default();
        let text = |length: usize| (0..length).map(|byte| byte as u8).collect::<Vec<u8>>();
        assert_eq!(pairs.find(0, &text(20)), None);
        for length in [0, 7, 8, 16, 17, 32, 33, MOST_BYTES, MOST_BYTES + 1] {
            pairs.keep(3, &text(length), 2, 7.0);
            let found = pairs.find(3, &text(length));
            assert_eq!(found.is_some(), (8..=MOST_BYTES).contains(&length), "{length}");
            assert!(found.is_none_or(|found| found == (2, 7.0)));
            assert_eq!(pairs.find(4, &text(length)), None);
            let mut other = text(length);
            other.push(0);
            assert_eq!(pairs.find(3, &other), None);
        }
        pairs.forget();
        assert_eq!(pairs.find(3, &text(16)), None);
    }
}
