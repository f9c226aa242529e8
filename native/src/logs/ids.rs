//! Ids of traces and spans as log lines write them.

use crate::logs::fields;

/// Bytes of hex digits in any case, if there are as many as the id needs.
pub fn hex_id<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut id = [0; N];
    let mut wrong = 0;
    for (byte, pair) in id.iter_mut().zip(digits.as_chunks::<2>().0) {
        let (high, low) = (NIBBLES[pair[0] as usize], NIBBLES[pair[1] as usize]);
        *byte = high << 4 | low;
        wrong |= high | low;
    }
    (wrong < 16).then_some(id)
}

/// The values of hex digits in any case; 0xff for every other byte.
const NIBBLES: [u8; 256] = {
    let mut table = [0xff; 256];
    let mut digit = 0;
    while digit < 16 {
        let lower = b"0123456789abcdef"[digit];
        table[lower as usize] = digit as u8;
        table[lower.to_ascii_uppercase() as usize] = digit as u8;
        digit += 1;
    }
    table
};

/// A number in the low bytes of the id, where the name says that ids are numbers.
pub fn decimal_id<const N: usize>(number: u64, slot: usize) -> Option<[u8; N]> {
    if fields::DECIMAL_IDS >> slot & 1 == 0 {
        return None;
    }
    let mut id = [0; N];
    id.last_chunk_mut::<8>()?.copy_from_slice(&number.to_be_bytes());
    Some(id)
}
