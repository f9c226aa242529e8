//! How many spans a sampled span stands for.

const SPACE: u128 = 1 << 56;
const DIGITS: usize = 14;

/// 1 / sampling probability from the tracestate's `ot=th:` rejection threshold (hex digits, padded on the right to 56
/// bits); 1 where there is none, or none that can be read.
#[inline]
pub fn adjusted_count(trace_state: &[u8]) -> f64 {
    if trace_state.is_empty() {
        return 1.0;
    }
    threshold(trace_state).map_or(1.0, |rejected| ratio(SPACE - rejected))
}

fn threshold(trace_state: &[u8]) -> Option<u128> {
    let member = trace_state.split(|&byte| byte == b',').find_map(|member| {
        let (key, value) = partition(trim(member), b'=');
        (key == b"ot").then_some(value)
    })?;
    let digits = member.split(|&byte| byte == b';').find_map(|part| {
        let (key, value) = partition(part, b':');
        (key == b"th").then_some(value)
    })?;
    if digits.is_empty() || digits.len() > DIGITS {
        return None;
    }
    let mut rejected = 0u128;
    for &digit in digits {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        rejected = rejected << 4 | u128::from(value);
    }
    Some(rejected << (4 * (DIGITS - digits.len())))
}

fn trim(mut member: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = member {
        member = rest;
    }
    member
}

fn partition(text: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match text.iter().position(|&byte| byte == separator) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, b""),
    }
}

/// 2^56 / `kept`, rounded once: `kept` has up to 56 bits, more than a double holds.
fn ratio(kept: u128) -> f64 {
    const SHIFT: u32 = 64;
    let scaled = SPACE << SHIFT;
    let quotient = scaled / kept;
    let inexact = u128::from(!scaled.is_multiple_of(kept));
    (quotient | inexact) as f64 / 2f64.powi(SHIFT as i32)
}

#[cfg(test)]
mod tests {
    use super::adjusted_count;

    #[test]
    fn reads_the_threshold() {
        for (state, expected) in [
            (&b""[..], 1.0),
            (b"ot=th:8", 2.0),
            (b"vendor=1, ot=rv:abc;th:c ", 4.0),
            (b"ot=th:e", 8.0),
            (b"ot=th:0", 1.0),
            (b"ot=th:ffffffffffffff", 72_057_594_037_927_936.0),
            (b"ot=th:fffffffffffffff", 1.0),
            (b"ot=th:E", 1.0),
            (b"xot=th:8", 1.0),
        ] {
            assert_eq!(adjusted_count(state), expected);
        }
    }
}
