//! Lower-case hexadecimal digits.

const ONES: u64 = 0x0101_0101_0101_0101;

/// Appends the digits.
#[inline]
pub fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(2 * bytes.len());
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        out.extend_from_slice(&word_hex(*word));
    }
    for &byte in rest {
        out.extend_from_slice(&word_hex([byte, 0, 0, 0])[..2]);
    }
}

/// The digits; `N` is a multiple of 4, `M` twice `N`.
#[inline]
pub fn hex<const N: usize, const M: usize>(bytes: &[u8; N]) -> [u8; M] {
    let mut digits = [0; M];
    for (place, word) in digits.as_chunks_mut::<8>().0.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *place = word_hex(*word);
    }
    digits
}

/// The digits of four bytes, all at once.
#[inline(always)]
fn word_hex(bytes: [u8; 4]) -> [u8; 8] {
    let word = u64::from(u32::from_le_bytes(bytes));
    let apart = (word | word << 16) & 0x0000_ffff_0000_ffff;
    let apart = (apart | apart << 8) & 0x00ff_00ff_00ff_00ff;
    let nibbles = apart >> 4 & 0x000f_000f_000f_000f | (apart & 0x000f_000f_000f_000f) << 8;
    // 1 where a nibble is above 9.
    let above = (nibbles + 6 * ONES) >> 4 & ONES;
    (nibbles + u64::from(b'0') * ONES + u64::from(b'a' - b'0' - 10) * above).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_hexadecimal_digits() {
        let bytes: Vec<u8> = (0..=255).collect();
        for length in 0..=bytes.len() {
            let mut out = Vec::new();
            push_hex(&mut out, &bytes[bytes.len() - length..]);
            let expected: String = bytes[bytes.len() - length..].iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(out, expected.as_bytes());
        }
        assert_eq!(&hex::<8, 16>(b"\x00\x9f\xa0\xff\x12\x34\xab\xcd"), b"009fa0ff1234abcd");
    }
}
