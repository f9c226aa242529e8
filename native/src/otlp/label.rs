//! Values as label text, and whether broken UTF-8 had to be repaired in them.

use std::borrow::Cow;
use std::collections::HashSet;

use base64::engine::general_purpose::STANDARD;
use base64::Engine;

use crate::documents::text::{cut, push_int, push_json, push_label_double, repair};
use crate::otlp::limits::MAX_LABEL_CHARS;
use crate::otlp::value::{elements, push_pairs, Any, Attribute};

/// Label text of a text field.
pub fn of_text(bytes: &[u8]) -> Cow<'_, str> {
    match repair(bytes) {
        Cow::Borrowed(text) => Cow::Borrowed(cut(text, MAX_LABEL_CHARS)),
        Cow::Owned(text) => Cow::Owned(cut(&text, MAX_LABEL_CHARS).to_owned()),
    }
}

/// Label text of a value: its whole text, cut.
pub fn of(value: Any<'_>) -> Cow<'_, str> {
    if let Any::Text(bytes) = value {
        return of_text(bytes);
    }
    Cow::Owned(cut(&full(value), MAX_LABEL_CHARS).to_owned())
}

const MAX_DIGITS: usize = 64;
/// Of so many pairs each is compared with all; more are put into a table.
const FEW: usize = 8;

/// A value as a number: a bool as 0 or 1; a text that is a decimal number (ASCII digits, no blanks, 64 characters at
/// most) as that; NaN for anything else and for what is not finite.
pub fn number(value: Any<'_>) -> f64 {
    let found = match value {
        Any::Bool(bool) => f64::from(u8::from(bool)),
        Any::Int(int) => int as f64,
        Any::Double(double) => double,
        Any::Text(text) if text.len() <= MAX_DIGITS => decimal(text),
        _ => f64::NAN,
    };
    if found.is_finite() {
        found
    } else {
        f64::NAN
    }
}

fn decimal(text: &[u8]) -> f64 {
    // What Rust reads beyond a decimal number has other letters: inf, infinity, nan.
    let plain = text.iter().all(|&byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    let text = std::str::from_utf8(text).ok().filter(|_| plain);
    text.and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

/// A string as it is; numbers and booleans as JSON; bytes base64; arrays and maps as compact JSON with sorted keys;
/// nothing as the empty text.
pub fn full(value: Any<'_>) -> Cow<'_, str> {
    let mut out = Vec::new();
    match value {
        Any::Text(bytes) => return repair(bytes),
        Any::Empty => return Cow::Borrowed(""),
        Any::Bytes(bytes) => return Cow::Owned(STANDARD.encode(bytes)),
        Any::Double(double) => push_label_double(&mut out, double),
        _ => push_sorted(&mut out, value),
    }
    Cow::Owned(repair(&out).into_owned())
}

fn push_sorted(out: &mut Vec<u8>, value: Any<'_>) {
    match value {
        Any::Empty => out.extend_from_slice(b"null"),
        Any::Bool(bool) => out.extend_from_slice(if bool { b"true" } else { b"false" }),
        Any::Int(int) => push_int(out, int),
        Any::Double(double) if double.is_finite() => push_label_double(out, double),
        Any::Double(double) => {
            out.push(b'"');
            push_label_double(out, double);
            out.push(b'"');
        }
        Any::Text(text) => push_json(out, text),
        Any::Bytes(bytes) => push_json(out, STANDARD.encode(bytes).as_bytes()),
        Any::Array(message) => {
            out.push(b'[');
            for (index, element) in elements(message).enumerate() {
                push_comma(out, index);
                push_sorted(out, element);
            }
            out.push(b']');
        }
        Any::Map(message) => {
            let mut members = first_of_each_key(message);
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            out.push(b'{');
            for (index, (key, pair)) in members.into_iter().enumerate() {
                push_comma(out, index);
                push_json(out, key.as_bytes());
                out.push(b':');
                push_sorted(out, pair.value);
            }
            out.push(b'}');
        }
    }
}

fn push_comma(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.push(b',');
    }
}

/// The pairs of a map, keys as repaired text; of a duplicate key the first.
pub fn first_of_each_key(map: &[u8]) -> Vec<(Cow<'_, str>, Attribute<'_>)> {
    let mut pairs = Vec::new();
    push_pairs(map, &mut pairs);
    let few = pairs.len() <= FEW;
    let keyed = pairs.into_iter().map(|pair| (repair(pair.key), pair));
    if few {
        let mut found: Vec<(Cow<'_, str>, Attribute<'_>)> = Vec::with_capacity(FEW);
        for (key, pair) in keyed {
            if found.iter().all(|(other, _)| *other != key) {
                found.push((key, pair));
            }
        }
        return found;
    }
    let mut seen = HashSet::new();
    keyed.filter(|(key, _)| seen.insert(key.clone())).collect()
}

pub fn is_repaired_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err()
}

/// Whether broken UTF-8 was replaced anywhere in the value, map keys included.
pub fn is_repaired(value: Any<'_>) -> bool {
    match value {
        Any::Text(bytes) => is_repaired_text(bytes),
        Any::Array(message) => elements(message).any(is_repaired),
        Any::Map(message) => first_of_each_key(message)
            .into_iter()
            .any(|(_, pair)| is_repaired_text(pair.key) || is_repaired(pair.value)),
        _ => false,
    }
}
