//! Text as it leaves the program: repaired UTF-8, cut labels, JSON strings, numbers.

use std::borrow::Cow;

use crate::documents::hex::push_hex;

/// Text of bytes that claim to be UTF-8; broken sequences become U+FFFD.
pub fn repair(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

const ESCAPE: u8 = 0x1b;
const BELL: u8 = 0x07;

/// The text without control sequences of terminals: ESC [ parameters, intermediates, final byte
/// (ECMA-48), and ESC ] to the next BEL or ESC \, a link of rich.
pub fn without_colours(text: &str) -> Cow<'_, str> {
    match uncoloured(text.as_bytes()) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        // Sequences are ASCII, so what is left is as whole as it was.
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).unwrap_or_default()),
    }
}

/// The same for bytes of any kind.
pub fn uncoloured(bytes: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(ESCAPE, bytes).is_none() {
        return Cow::Borrowed(bytes);
    }
    let mut plain = Vec::with_capacity(bytes.len());
    let mut from = 0;
    for at in memchr::memchr_iter(ESCAPE, bytes) {
        if at < from {
            continue;
        }
        plain.extend_from_slice(&bytes[from..at]);
        from = at + sequence_length(&bytes[at..]);
        if from == at {
            plain.push(ESCAPE);
            from += 1;
        }
    }
    plain.extend_from_slice(&bytes[from..]);
    Cow::Owned(plain)
}

/// Bytes of the control sequence that begins here; 0 where none does or where its end is missing.
fn sequence_length(bytes: &[u8]) -> usize {
    if let [ESCAPE, b']', rest @ ..] = bytes {
        return match memchr::memchr2(BELL, ESCAPE, rest) {
            Some(end) if rest[end] == BELL => 2 + end + 1,
            Some(end) if rest.get(end + 1) == Some(&b'\\') => 2 + end + 2,
            _ => 0,
        };
    }
    let [ESCAPE, b'[', rest @ ..] = bytes else { return 0 };
    let parameters = rest.iter().take_while(|byte| matches!(byte, b'0'..=b'?')).count();
    let intermediates = rest[parameters..].iter().take_while(|byte| matches!(byte, b' '..=b'/')).count();
    match rest.get(parameters + intermediates) {
        Some(b'@'..=b'~') => 2 + parameters + intermediates + 1,
        _ => 0,
    }
}

/// The first `limit` characters.
pub fn cut(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    match text.char_indices().nth(limit) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

const PLAIN: u8 = 0;
const UNICODE: u8 = b'u';

/// 0: stands for itself; otherwise the letter after the backslash.
const ESCAPES: [u8; 256] = {
    let mut table = [PLAIN; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = UNICODE;
        byte += 1;
    }
    table[0x08] = b'b';
    table[0x09] = b't';
    table[0x0a] = b'n';
    table[0x0c] = b'f';
    table[0x0d] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

const BLOCK: usize = 16;

/// Printable ASCII without quotes and backslashes: copied as it stands.
#[inline(always)]
fn is_special(byte: u8) -> bool {
    // Wrapping maps 0x00-0x1f to 0xe0-0xff and 0x80-0xff to 0x60-0xdf: one comparison finds both.
    byte.wrapping_sub(0x20) >= 0x60 || byte == b'"' || byte == b'\\'
}

#[inline(always)]
fn has_special_in_block(block: &[u8; BLOCK]) -> bool {
    block.iter().fold(false, |found, &byte| found | is_special(byte))
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x80 * ONES;

/// Where a byte is below the bound, its high bit. Only the lowest bit is exact: a subtraction may borrow from the bytes above.
#[inline(always)]
fn below(bound: u8, word: u64) -> u64 {
    word.wrapping_sub(u64::from(bound) * ONES) & !word & HIGH
}

/// The high bits of the quotes and backslashes among eight bytes, of which the lowest is exact.
#[inline(always)]
fn ends_in_word(word: u64) -> u64 {
    below(1, word ^ (u64::from(b'"') * ONES)) | below(1, word ^ (u64::from(b'\\') * ONES))
}

/// Bytes before the first quote or backslash.
#[inline(always)]
pub fn unescaped_length(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let found = ends_in_word(u64::from_le_bytes(*word));
        if found != 0 {
            return 8 * index + found.trailing_zeros() as usize / 8;
        }
    }
    let end = rest.iter().position(|&byte| byte == b'"' || byte == b'\\');
    8 * words.len() + end.unwrap_or(rest.len())
}

/// Like `is_special`, for eight bytes at once.
#[inline(always)]
fn has_special_in_word(word: u64) -> bool {
    word & HIGH != 0 || (below(0x20, word) | ends_in_word(word)) != 0
}

/// Long texts are looked at in blocks, short ones in words; the last block or word overlaps its predecessor, so that there
/// is no loop over single bytes.
#[inline(always)]
fn has_special(bytes: &[u8]) -> bool {
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    if let Some(last) = bytes.last_chunk::<BLOCK>() {
        return blocks.iter().any(has_special_in_block) || has_special_in_block(last);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        return has_special_in_word(u64::from_le_bytes(*first)) || has_special_in_word(u64::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return has_special_in_word(u64::from(first) | u64::from(last) << 32);
    }
    bytes.iter().any(|&byte| is_special(byte))
}

/// Whether the bytes stand for themselves in a JSON string: printable ASCII without quotes and backslashes.
#[inline(always)]
pub fn is_plain(bytes: &[u8]) -> bool {
    !has_special(bytes)
}

/// Appends a JSON string with its quotes; broken UTF-8 becomes U+FFFD, non-ASCII stays as it is.
#[inline]
pub fn push_json(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    if has_special(bytes) {
        push_escaped(out, bytes);
    } else {
        out.extend_from_slice(bytes);
    }
    out.push(b'"');
}

#[inline(never)]
fn push_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    let text = repair(bytes);
    let bytes = text.as_bytes();
    let mut from = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        let letter = ESCAPES[byte as usize];
        if letter == PLAIN {
            continue;
        }
        out.extend_from_slice(&bytes[from..index]);
        from = index + 1;
        out.push(b'\\');
        out.push(letter);
        if letter == UNICODE {
            out.extend_from_slice(b"00");
            push_hex(out, &[byte]);
        }
    }
    out.extend_from_slice(&bytes[from..]);
}

#[inline]
pub fn push_int<I: itoa::Integer>(out: &mut Vec<u8>, value: I) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The shortest decimal digits that read back as this double: `digits` × 10^(`point` - digits).
struct Decimal {
    digits: [u8; 24],
    length: usize,
    point: i32,
}

fn decimal(magnitude: f64) -> Decimal {
    short_decimal(magnitude).unwrap_or_else(|| long_decimal(magnitude))
}

const SHORT_PLACES: i32 = 6;
const SHORT_SCALE: f64 = 1e6;

/// The digits of a number of at most six decimal places, as measured ones mostly are. Of at most 15 digits, no two
/// numbers are the same double: if they read back as this one, none shorter do.
#[inline]
fn short_decimal(magnitude: f64) -> Option<Decimal> {
    // Rounded by hand, since the library's function is a call.
    let mut number = (magnitude * SHORT_SCALE + 0.5) as u64;
    // Both numbers are whole and below 2^53, so the quotient is what reading the digits would give.
    if !(1..1_000_000_000_000_000).contains(&number) || number as f64 / SHORT_SCALE != magnitude {
        return None;
    }
    let mut zeros = 0;
    while number.is_multiple_of(10) {
        number /= 10;
        zeros += 1;
    }
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(number).as_bytes();
    let mut digits = [0u8; 24];
    digits[..text.len()].copy_from_slice(text);
    Some(Decimal { digits, length: text.len(), point: text.len() as i32 + zeros - SHORT_PLACES })
}

fn long_decimal(magnitude: f64) -> Decimal {
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(magnitude);
    let (mantissa, exponent) = match text.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().unwrap_or(0)),
        None => (text, 0),
    };
    let mut digits = [0u8; 24];
    let mut length = 0;
    let mut point = exponent;
    let mut seen_point = false;
    for byte in mantissa.bytes() {
        if byte == b'.' {
            seen_point = true;
            continue;
        }
        if !seen_point {
            point += 1;
        }
        if length == 0 && byte == b'0' {
            point -= 1;
            continue;
        }
        if length < digits.len() {
            digits[length] = byte;
            length += 1;
        }
    }
    while length > 0 && digits[length - 1] == b'0' {
        length -= 1;
    }
    Decimal { digits, length, point }
}

fn push_zeros(out: &mut Vec<u8>, count: i32) {
    for _ in 0..count {
        out.push(b'0');
    }
}

/// Digits without exponent: 123, 0.5; `radix` also writes the `.0` of an integral number.
fn push_plain(out: &mut Vec<u8>, number: &Decimal, radix: bool) {
    let digits = &number.digits[..number.length];
    if number.point <= 0 {
        out.extend_from_slice(b"0.");
        push_zeros(out, -number.point);
        out.extend_from_slice(digits);
        return;
    }
    let whole = (number.point as usize).min(digits.len());
    out.extend_from_slice(&digits[..whole]);
    push_zeros(out, number.point - whole as i32);
    if whole < digits.len() {
        out.push(b'.');
        out.extend_from_slice(&digits[whole..]);
    } else if radix {
        out.extend_from_slice(b".0");
    }
}

/// d.ddde±x
fn push_scientific(out: &mut Vec<u8>, number: &Decimal) {
    let digits = &number.digits[..number.length];
    out.extend_from_slice(&digits[..1]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits[1..]);
    }
    let exponent = number.point - 1;
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    push_int(out, exponent.unsigned_abs());
}

/// A finite double in the fewest digits that read back as the same; exponent form below 1e-6 and from 1e21 on.
/// `radix`: integral values in plain form end in `.0`.
fn push_finite(out: &mut Vec<u8>, value: f64, radix: bool) {
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let magnitude = value.abs();
    if magnitude == 0.0 {
        out.extend_from_slice(if radix { b"0.0" } else { b"0" });
    } else if (1e-6..1e21).contains(&magnitude) {
        push_plain(out, &decimal(magnitude), radix);
    } else {
        push_scientific(out, &decimal(magnitude));
    }
}

/// A double as label text.
pub fn push_label_double(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
    } else {
        push_finite(out, value, false);
    }
}

/// A double in a JSON document: always with a point or exponent, null where JSON has no word for it.
pub fn push_document_double(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        push_finite(out, value, true);
    } else {
        out.extend_from_slice(b"null");
    }
}

/// One bit of 64 for a key; equal keys have equal bits.
#[inline(always)]
pub fn signature(key: &[u8]) -> u64 {
    let [first, .., last] = key else { return 1 };
    let middle = key[key.len() / 2];
    1 << ((key.len() as u32 * 5 + u32::from(*first) * 3 + u32::from(*last) * 7 + u32::from(middle) * 11) % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        push_json(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn finds_a_special_byte_at_every_place_of_every_length() {
        for length in 0..40 {
            let plain = vec![b'~'; length];
            assert!(is_plain(&plain));
            assert_eq!(unescaped_length(&plain), length);
            for place in 0..length {
                for special in [0, 0x1f, b'"', b'\\', 0x80, 0xff] {
                    let mut bytes = plain.clone();
                    bytes[place] = special;
                    assert!(!is_plain(&bytes), "{special} at {place} of {length}");
                    assert_eq!(unescaped_length(&bytes), if matches!(special, b'"' | b'\\') { place } else { length });
                }
            }
        }
    }

    #[test]
    fn escapes_and_repairs() {
        assert_eq!(json(b"a\"b\\c\n\x01"), r#""a\"b\\c\n\u0001""#);
        assert_eq!(json(b"caf\xc3\xa9 \xff"), "\"caf\u{e9} \u{fffd}\"");
    }

    #[test]
    fn writes_doubles_for_labels_and_for_documents() {
        for (value, label, document) in [
            (0.0, "0", "0.0"),
            (-0.0, "-0", "-0.0"),
            (200.0, "200", "200.0"),
            (0.3869, "0.3869", "0.3869"),
            (1e-6, "0.000001", "0.000001"),
            (1.5e-7, "1.5e-7", "1.5e-7"),
            (1e20, "100000000000000000000", "100000000000000000000.0"),
            (1e21, "1e+21", "1e+21"),
            (5e-324, "5e-324", "5e-324"),
            (f64::NEG_INFINITY, "-Infinity", "null"),
        ] {
            let (mut as_label, mut in_document) = (Vec::new(), Vec::new());
            push_label_double(&mut as_label, value);
            push_document_double(&mut in_document, value);
            assert_eq!(as_label, label.as_bytes());
            assert_eq!(in_document, document.as_bytes());
        }
    }

    #[test]
    fn short_decimals_are_the_shortest_digits() {
        let text = |number: Decimal| {
            let mut out = Vec::new();
            push_plain(&mut out, &number, true);
            String::from_utf8(out).unwrap()
        };
        let mut value = 1u64;
        for _ in 0..20_000 {
            value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let number = (value >> (20 + value % 40)) as f64;
            for magnitude in [number / 1e6, number / 1e2, number, f64::from_bits((number / 1e6).to_bits() + 1)] {
                if let Some(short) = short_decimal(magnitude) {
                    assert_eq!(text(short), text(long_decimal(magnitude)), "{magnitude}");
                }
            }
        }
        assert!(short_decimal(0.8595).is_some() && short_decimal(198.35).is_some() && short_decimal(1e8).is_some());
        assert!(short_decimal(0.1 + 0.2).is_none() && short_decimal(1e15).is_none() && short_decimal(1e-7).is_none());
    }

    #[test]
    fn cuts_between_characters() {
        assert_eq!(cut("h\u{e9}llo", 2), "h\u{e9}");
        assert_eq!(cut("\u{e9}\u{e9}", 2), "\u{e9}\u{e9}");
    }
}
