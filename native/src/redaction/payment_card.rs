//! Payment card numbers inside of matches; the reference decoder's `card_end` says what is one.

const SHORTEST: usize = 13;
const LONGEST: usize = 19;
/// Digits of a number with an exponent that are written behind the point, at least.
const SHORTEST_FRACTION: usize = 8;
/// All digits of such a number: one before the point, and two of the exponent.
const SHORTEST_WITH_EXPONENT: usize = 1 + SHORTEST_FRACTION + 2;

/// Numbers below have fewer digits than the shortest card number, those from the end on more than the longest.
const SMALLEST: f64 = 1e12;
const END: f64 = 1e19;

/// Whether a number may have as many digits as a card number.
#[inline(always)]
pub fn is_as_long(number: f64) -> bool {
    (SMALLEST..END).contains(&number.abs())
}

/// Whether there are enough digits for a number in this text: few runs of digits and separators, as in addresses and
/// times, have so many. A digit of any script counts once, and so does what only begins like one.
#[inline]
pub fn has_digits_for_one(text: &[u8]) -> bool {
    let is_first_byte = |byte: &&u8| byte.is_ascii_digit() || matches!(byte, 0xef | 0xd9 | 0xdb);
    let digits = text.iter().filter(is_first_byte).count();
    digits >= SHORTEST || (digits >= SHORTEST_WITH_EXPONENT && has_exponent(text))
}

/// Whether an exponent follows the digits behind a point. Versions (`Chrome/120.0.6099.130`) have the letter before them.
fn has_exponent(text: &[u8]) -> bool {
    let letters = text.iter().enumerate().filter(|(_, byte)| matches!(byte, b'e' | b'E'));
    let mut fractions = letters.filter_map(|(place, _)| text.get(place.checked_sub(SHORTEST_FRACTION)?..place));
    fractions.any(|digits| digits.iter().all(u8::is_ascii_digit))
}

/// Where the number that begins at `begin` ends, at `end` or before.
pub fn end(raw: &[u8], begin: usize, end: usize) -> Option<usize> {
    if is_inside_number(raw, begin) {
        return None;
    }
    if let Some(whole) = whole_part(&raw[begin..end]) {
        return (digit_at(raw, end).is_none() && luhn(&whole)).then_some(end);
    }
    let (digits, groups) = read_digits(raw, begin, end);
    for &(count, last) in groups.iter().rev() {
        if count < SHORTEST {
            return None;
        }
        if count <= LONGEST && digit_at(raw, last).is_none() && luhn(&digits[..count]) {
            return Some(last);
        }
    }
    None
}

/// Whether what is before `begin` belongs to the number that begins there. `%20` and its like are no digits.
fn is_inside_number(raw: &[u8], begin: usize) -> bool {
    if ends_with_escape(&raw[..begin]) {
        return false;
    }
    let zeros = raw[..begin].iter().rev().take_while(|&&byte| byte == b'0').count();
    match &raw[..begin - zeros] {
        [.., before, b'.'] => before.is_ascii_digit(),
        before => (1..=before.len().min(3))
            .any(|length| digit_at(before, before.len() - length).is_some_and(|(_, found)| found == length)),
    }
}

fn ends_with_escape(raw: &[u8]) -> bool {
    matches!(raw, [.., b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// The digits before the point of a number with an exponent, such as `4.111111111111111E15`.
fn whole_part(text: &[u8]) -> Option<Vec<u8>> {
    let [first, b'.', rest @ ..] = text else { return None };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (fraction, exponent) = rest.split_at(length);
    let exponent = match exponent {
        [b'e' | b'E', b'+', digits @ ..] | [b'e' | b'E', digits @ ..] => digits,
        _ => return None,
    };
    let [b'1', last @ b'2'..=b'8'] = exponent else { return None };
    if !first.is_ascii_digit() || length < SHORTEST_FRACTION {
        return None;
    }
    let whole = usize::from(10 + last - b'0');
    let digits = std::iter::once(first).chain(fraction).chain(std::iter::repeat(&b'0'));
    Some(digits.take(1 + whole).map(|digit| digit - b'0').collect())
}

/// The digits, and for each group of them how many there are up to its end, and where that is.
fn read_digits(raw: &[u8], begin: usize, end: usize) -> (Vec<u8>, Vec<(usize, usize)>) {
    let (mut digits, mut groups): (Vec<u8>, Vec<(usize, usize)>) = (Vec::new(), Vec::new());
    let mut place = begin;
    while place < end {
        let Some((value, length)) = digit_at(raw, place) else {
            place += if raw[place] == b'%' { 3 } else { 1 };
            continue;
        };
        digits.push(value);
        if groups.last().is_some_and(|(_, last)| *last == place) {
            groups.pop();
        }
        place += length;
        groups.push((digits.len(), place));
    }
    (digits, groups)
}

/// Value and length in bytes of the digit at a place: ASCII, full-width, Arabic or Persian.
fn digit_at(raw: &[u8], place: usize) -> Option<(u8, usize)> {
    match raw.get(place..)? {
        [byte @ b'0'..=b'9', ..] => Some((byte - b'0', 1)),
        [0xef, 0xbc, byte @ 0x90..=0x99, ..] => Some((byte - 0x90, 3)),
        [0xd9, byte @ 0xa0..=0xa9, ..] => Some((byte - 0xa0, 2)),
        [0xdb, byte @ 0xb0..=0xb9, ..] => Some((byte - 0xb0, 2)),
        _ => None,
    }
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| match place % 2 {
            0 => u32::from(digit),
            _ => u32::from(2 * digit / 10 + 2 * digit % 10),
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The next place at which a number may begin. Digits of an escape such as `%20` are skipped alone.
pub fn behind_digits(raw: &[u8], begin: usize) -> usize {
    if raw.get(..begin + 2).is_some_and(ends_with_escape) {
        return begin + 2;
    }
    let mut end = begin;
    while let Some((_, length)) = digit_at(raw, end) {
        end += length;
    }
    end.max(begin + 1)
}

#[cfg(test)]
mod tests {
    use super::{end, has_digits_for_one};

    #[test]
    fn every_number_has_its_digits() {
        let full_width = "４１１１１１１１１１１１１";
        let mixed = "٤١١١ 1111۱۱۱۱ １";
        for text in ["4111111111111", "4111 1111 1111 1", "4.11111111E12", "4.111111111111111e+15", full_width, mixed] {
            assert!(has_digits_for_one(text.as_bytes()), "{text}");
        }
        for text in [
            "192.168.100.200 - - ",
            "411111111111",
            "4.1111111E12",
            "4.111111112",
            "2026-11-21 15",
            "e/120.0.6099.130 ",
        ] {
            assert!(!has_digits_for_one(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn finds_the_end_of_a_number() {
        for (text, expected) in [
            (&b"4111111111111111"[..], Some(16)),
            (b"4111 1111 1111 1111 123", Some(19)),
            (b"4111111111111112", None),
            (b"411111111111111", None),
            (b"4111%201111%201111%201111", Some(25)),
            (b"4.111111111111111E15", Some(20)),
            (b"4.111111111111112E15", None),
        ] {
            assert_eq!(end(text, 0, text.len()), expected);
        }
        assert_eq!(end(b"0.4111111111111111", 2, 18), None);
        assert_eq!(end(b"14111111111111111", 1, 17), None);
        assert_eq!(end(b"0004111111111111111", 3, 19), Some(19));
        assert_eq!(end(b"%204111111111111111", 3, 19), Some(19));
    }
}
