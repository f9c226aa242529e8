//! Entries: attributes of records and members of maps, as key rules see them.

use crate::otlp::encode::{open, push_bytes, push_message};
use crate::otlp::wire::Value;
use crate::redaction::splice::Fields;

/// The message that has entries in fields of this number.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    pub message: &'a [u8],
    pub number: u32,
}

impl Around<'_> {
    /// Whether an entry has one of these keys.
    pub fn has(&self, keys: &[String]) -> bool {
        Fields::new(self.message).any(|(_, number, value)| match value {
            Value::Bytes(pair) if number == self.number => keys.iter().any(|key| key.as_bytes() == last_key(pair)),
            _ => false,
        })
    }
}

/// Whether an array or a map stands in a value of a KeyValue.
pub fn is_nested(pair: &[u8]) -> bool {
    Fields::new(pair).any(|(_, number, value)| match value {
        Value::Bytes(message) if number == 2 => {
            Fields::new(message).any(|field| matches!(field, (_, 5 | 6, Value::Bytes(_))))
        }
        _ => false,
    })
}

/// The key of a KeyValue: the last one counts.
pub fn last_key(pair: &[u8]) -> &[u8] {
    let keys = Fields::new(pair).filter_map(|field| match field {
        (_, 1, Value::Bytes(key)) => Some(key),
        _ => None,
    });
    keys.last().unwrap_or_default()
}

/// A resource attribute as a whole field.
pub fn attribute(key: &str, value: &str) -> Vec<u8> {
    let mut pair = Vec::new();
    push_bytes(&mut pair, 1, key.as_bytes());
    push_message(&mut pair, 2, |out| push_bytes(out, 1, value.as_bytes()));
    let mut field = Vec::new();
    open(&mut field, 1, pair.len());
    field.extend_from_slice(&pair);
    field
}
