//! OTLP protobuf messages out of values.

use std::borrow::Cow;

use crate::logs::json::{Json, Object};
use crate::otlp::tags::{any_value, array_value, key_byte, key_value, key_value_list};
use crate::otlp::wire::Wire::{Fixed32, Fixed64, Len, Varint};

#[inline]
pub fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value as u8 & 0x7f | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
fn varint_size(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Bytes of a length-delimited field with this content, for field numbers below 16.
#[inline]
fn field_size(content: usize) -> usize {
    1 + varint_size(content as u64) + content
}

/// Key and length of a length-delimited field; its content follows.
#[inline]
pub fn open(out: &mut Vec<u8>, number: u32, length: usize) {
    out.push(key_byte(number, Len));
    push_varint(out, length as u64);
}

#[inline]
pub fn push_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    open(out, number, bytes.len());
    out.extend_from_slice(bytes);
}

#[inline]
pub fn push_uint(out: &mut Vec<u8>, number: u32, value: u64) {
    out.push(key_byte(number, Varint));
    push_varint(out, value);
}

#[inline]
pub fn push_fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    out.push(key_byte(number, Fixed64));
    out.extend_from_slice(&value.to_le_bytes());
}

#[inline]
pub fn push_fixed32(out: &mut Vec<u8>, number: u32, value: u32) {
    out.push(key_byte(number, Fixed32));
    out.extend_from_slice(&value.to_le_bytes());
}

/// An AnyValue with text, as field `number`.
pub fn push_text_value(out: &mut Vec<u8>, number: u32, text: &str) {
    open(out, number, field_size(text.len()));
    push_bytes(out, any_value::STRING_VALUE, text.as_bytes());
}

/// A message whose length is known once it is written, as field `number`.
#[inline]
pub fn push_message(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    // Most messages need a length of two bytes; where one or more than two are needed, the content is moved.
    out.extend_from_slice(&[key_byte(number, Len), 0, 0]);
    let begin = out.len();
    write(out);
    let length = out.len() - begin;
    if let Some([low, high]) = out.get_mut(begin - 2..begin).filter(|_| (0x80..0x4000).contains(&length)) {
        (*low, *high) = (length as u8 | 0x80, (length >> 7) as u8);
    } else {
        move_behind_length(out, begin, length);
    }
}

#[cold]
fn move_behind_length(out: &mut Vec<u8>, begin: usize, length: usize) {
    let mut varint = Vec::with_capacity(5);
    push_varint(&mut varint, length as u64);
    out.splice(begin - 2..begin, varint);
}

const KEY: u8 = key_byte(key_value::KEY, Len);
const VALUE: u8 = key_byte(key_value::VALUE, Len);
const STRING: u8 = key_byte(any_value::STRING_VALUE, Len);

/// Lengths below it, of a key or a text, need one byte, and so do those of the messages around both together.
const SHORT: usize = 0x80 - 8;

/// A KeyValue, as field `number`; key and value are always written, empty or not.
#[inline]
pub fn push_pair(out: &mut Vec<u8>, number: u32, key: &str, value: &Json<'_>) {
    if let Json::Text(text) = value {
        return push_text_pair(out, number, key, text);
    }
    let value_size = size(value);
    open(out, number, field_size(key.len()) + field_size(value_size));
    push_bytes(out, key_value::KEY, key.as_bytes());
    open(out, key_value::VALUE, value_size);
    push_value(out, value);
}

/// A KeyValue with text, as field `number`.
#[inline]
pub fn push_text_pair(out: &mut Vec<u8>, number: u32, key: &str, text: &str) {
    if key.len() + text.len() < SHORT {
        let (key_length, text_length) = (key.len() as u8, text.len() as u8);
        out.reserve(8 + key.len() + text.len());
        out.extend_from_slice(&[key_byte(number, Len), key_length + text_length + 6, KEY, key_length]);
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(&[VALUE, text_length + 2, STRING, text_length]);
        out.extend_from_slice(text.as_bytes());
    } else {
        let value_size = field_size(text.len());
        open(out, number, field_size(key.len()) + field_size(value_size));
        push_bytes(out, key_value::KEY, key.as_bytes());
        push_text_value(out, key_value::VALUE, text);
    }
}

/// Bytes of an AnyValue's content.
#[inline]
fn size(value: &Json<'_>) -> usize {
    match value {
        Json::Text(text) => field_size(text.len()),
        Json::Int(int) => 1 + varint_size(*int as u64),
        Json::Double(_) => 9,
        Json::Bool(_) => 2,
        Json::Null | Json::Taken => 0,
        Json::List(elements) => field_size(list_size(elements)),
        Json::Object(object) => field_size(object_size(object)),
    }
}

fn list_size(elements: &[Json<'_>]) -> usize {
    elements.iter().map(|element| field_size(size(element))).sum()
}

fn object_size(object: &Object<'_>) -> usize {
    let pair_size = |(key, value): &(Cow<'_, str>, Json<'_>)| field_size(key.len()) + field_size(size(value));
    object.members.iter().map(|member| field_size(pair_size(member))).sum()
}

fn push_value(out: &mut Vec<u8>, value: &Json<'_>) {
    match value {
        Json::Text(text) => push_bytes(out, any_value::STRING_VALUE, text.as_bytes()),
        Json::Bool(bool) => push_uint(out, any_value::BOOL_VALUE, u64::from(*bool)),
        Json::Int(int) => push_uint(out, any_value::INT_VALUE, *int as u64),
        Json::Double(double) => push_fixed64(out, any_value::DOUBLE_VALUE, double.to_bits()),
        Json::Null | Json::Taken => {}
        Json::List(elements) => {
            open(out, any_value::ARRAY_VALUE, list_size(elements));
            for element in elements {
                open(out, array_value::VALUES, size(element));
                push_value(out, element);
            }
        }
        Json::Object(object) => {
            open(out, any_value::KVLIST_VALUE, object_size(object));
            for (key, value) in &object.members {
                push_pair(out, key_value_list::VALUES, key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_messages_are_as_short_as_can_be() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 1 << 21] {
            let content = vec![7; length];
            let (mut patched, mut known) = (b"before".to_vec(), b"before".to_vec());
            push_message(&mut patched, 2, |out| out.extend_from_slice(&content));
            push_bytes(&mut known, 2, &content);
            assert_eq!(patched, known);
        }
    }

    #[test]
    fn short_and_long_text_pairs_have_one_form() {
        for (key, text) in [(0, 0), (1, 118), (119, 0), (60, 59), (60, 60), (1, 119), (120, 3), (200, 300)] {
            let (key, text) = ("k".repeat(key), "t".repeat(text));
            let (mut value, mut pair, mut expected, mut out) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            push_bytes(&mut value, 1, text.as_bytes());
            push_bytes(&mut pair, 1, key.as_bytes());
            push_bytes(&mut pair, 2, &value);
            push_bytes(&mut expected, 6, &pair);
            push_text_pair(&mut out, 6, &key, &text);
            assert_eq!(out, expected);
        }
    }
}
