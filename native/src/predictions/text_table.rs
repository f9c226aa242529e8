//! Texts that are values of features, each by its place in a table.

use crate::documents::text::{cut, repair};
use crate::otlp::intern::Interner;
use crate::otlp::limits::MAX_FEATURE_CHARS;

/// A power of two.
const RECENT: usize = 64;

/// Most columns of texts have few of them, which come again and again: the last ones are looked at before all.
pub struct TextTable {
    all: Interner,
    /// Numbers of texts that came last, each where `place` has it.
    recent: [u32; RECENT],
}

impl TextTable {
    pub fn new() -> Self {
        TextTable { all: Interner::new(), recent: [0; RECENT] }
    }

    pub fn all(&self) -> &Interner {
        &self.all
    }

    /// The place of a text, cut and repaired.
    #[inline(always)]
    pub fn number(&mut self, text: &[u8]) -> u32 {
        let place = place(text);
        let known = self.recent[place];
        if (known as usize) < self.all.len() && are_same(self.all.get(known as usize), text) {
            return known;
        }
        let number = self.look_up(text);
        self.recent[place] = number;
        number
    }

    #[inline(never)]
    fn look_up(&mut self, text: &[u8]) -> u32 {
        if text.len() <= MAX_FEATURE_CHARS && text.is_ascii() {
            return self.all.intern(text).0;
        }
        self.all.intern(cut(&repair(text), MAX_FEATURE_CHARS).as_bytes()).0
    }
}

#[inline(always)]
fn place(text: &[u8]) -> usize {
    let (first, last) = (text.first().copied().unwrap_or(0), text.last().copied().unwrap_or(0));
    text.len().wrapping_mul(31).wrapping_add(usize::from(first) * 7).wrapping_add(usize::from(last)) % RECENT
}

/// Without a call for what is short.
#[inline(always)]
fn are_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match a.len() {
        8..=16 => a.first_chunk::<8>() == b.first_chunk() && a.last_chunk::<8>() == b.last_chunk(),
        4..8 => a.first_chunk::<4>() == b.first_chunk() && a.last_chunk::<4>() == b.last_chunk(),
        0..4 => a.iter().zip(b).all(|(a, b)| a == b),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_keeps_its_place() {
        let mut table = TextTable::new();
        let texts: Vec<String> = (0..400).map(|n| "ab\u{e9}cd".repeat(n / 20) + &"x".repeat(n % 20)).collect();
        for _ in 0..3 {
            for text in &texts {
                let whole = cut(text, MAX_FEATURE_CHARS);
                let number = table.number(text.as_bytes());
                assert_eq!(table.all().get(number as usize), whole.as_bytes());
                assert_eq!(table.number(whole.as_bytes()), number);
            }
        }
        assert_eq!(table.number(b"\xff"), table.number("\u{fffd}".as_bytes()));
        assert_eq!(table.number(b""), table.number(b""));
    }
}
