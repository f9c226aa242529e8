//! OTLP protobuf messages out of values.

use std::borrow::Cow;

use crate::json::{Json, Object};

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LEN: u8 = 2;
const FIXED32: u8 = 5;

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
pub fn open(out: &mut Vec<u8>, number: u8, length: usize) {
    out.push(number << 3 | LEN);
    push_varint(out, length as u64);
}

#[inline]
pub fn push_bytes(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    open(out, number, bytes.len());
    out.extend_from_slice(bytes);
}

#[inline]
pub fn push_uint(out: &mut Vec<u8>, number: u8, value: u64) {
    out.push(number << 3 | VARINT);
    push_varint(out, value);
}

#[inline]
pub fn push_fixed64(out: &mut Vec<u8>, number: u8, value: u64) {
    out.push(number << 3 | FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

#[inline]
pub fn push_fixed32(out: &mut Vec<u8>, number: u8, value: u32) {
    out.push(number << 3 | FIXED32);
    out.extend_from_slice(&value.to_le_bytes());
}

/// An AnyValue with text, as field `number`.
pub fn push_text_value(out: &mut Vec<u8>, number: u8, text: &str) {
    open(out, number, field_size(text.len()));
    push_bytes(out, 1, text.as_bytes());
}

/// A KeyValue, as field `number`; key and value are always written, empty or not.
#[inline]
pub fn push_pair(out: &mut Vec<u8>, number: u8, key: &str, value: &Json<'_>) {
    let value_size = size(value);
    open(out, number, field_size(key.len()) + field_size(value_size));
    push_bytes(out, 1, key.as_bytes());
    open(out, 2, value_size);
    push_value(out, value);
}

/// Bytes of an AnyValue's content.
#[inline]
fn size(value: &Json<'_>) -> usize {
    match value {
        Json::Text(text) => field_size(text.len()),
        Json::Int(int) => 1 + varint_size(*int as u64),
        Json::Double(_) => 9,
        Json::Bool(_) => 2,
        Json::Null | Json::Unwritable => 0,
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
        Json::Text(text) => push_bytes(out, 1, text.as_bytes()),
        Json::Bool(bool) => push_uint(out, 2, u64::from(*bool)),
        Json::Int(int) => push_uint(out, 3, *int as u64),
        Json::Double(double) => push_fixed64(out, 4, double.to_bits()),
        Json::Null | Json::Unwritable => {}
        Json::List(elements) => {
            open(out, 5, list_size(elements));
            for element in elements {
                open(out, 1, size(element));
                push_value(out, element);
            }
        }
        Json::Object(object) => {
            open(out, 6, object_size(object));
            for (key, value) in &object.members {
                push_pair(out, 1, key, value);
            }
        }
    }
}
