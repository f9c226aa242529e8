//! Payment card numbers inside of matches; the reference decoder's `card_end` says what is one.

const SHORTEST: usize = 13;
const LONGEST: usize = 19;

/// Numbers below have fewer digits than the shortest card number, those from the end on more than the longest.
const SMALLEST: f64 = 1e12;
const END: f64 = 1e19;

/// Whether a number may have as many digits as a card number.
#[inline(always)]
pub fn is_as_long(number: f64) -> bool {
    (SMALLEST..END).contains(&number.abs())
}

/// Where the number that begins at `begin` ends, at `end` or before.
pub fn end(raw: &[u8], begin: usize, mut end: usize) -> Option<usize> {
    match &raw[..begin] {
        [.., last] if last.is_ascii_digit() => return None,
        [.., before, b'.'] if before.is_ascii_digit() => return None,
        _ => {}
    }
    while end > begin {
        let candidate = &raw[begin..end];
        let digits = candidate.iter().filter(|byte| byte.is_ascii_digit()).count();
        if digits < SHORTEST {
            return None;
        }
        let beside = raw.get(end).is_some_and(u8::is_ascii_digit);
        if digits <= LONGEST && !beside && luhn(candidate) {
            return Some(end);
        }
        while end > begin && raw[end - 1].is_ascii_digit() {
            end -= 1;
        }
        while end > begin && !raw[end - 1].is_ascii_digit() {
            end -= 1;
        }
    }
    None
}

fn luhn(candidate: &[u8]) -> bool {
    let digits = candidate.iter().rev().filter(|byte| byte.is_ascii_digit());
    let sum: u32 = digits
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte - b'0');
            match place % 2 {
                0 => digit,
                _ => 2 * digit / 10 + 2 * digit % 10,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The next place at which a number may begin.
pub fn behind_digits(raw: &[u8], begin: usize) -> usize {
    let digits = raw[begin..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    begin + digits.max(1)
}

#[cfg(test)]
mod tests {
    use super::end;

    #[test]
    fn finds_the_end_of_a_number() {
        for (text, expected) in [
            (&b"4111111111111111"[..], Some(16)),
            (b"4111 1111 1111 1111 123", Some(19)),
            (b"4111111111111112", None),
            (b"411111111111111", None),
        ] {
            assert_eq!(end(text, 0, text.len()), expected);
        }
        assert_eq!(end(b"0.4111111111111111", 2, 18), None);
        assert_eq!(end(b"14111111111111111", 1, 17), None);
    }
}
