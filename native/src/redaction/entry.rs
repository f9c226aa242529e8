//! Entries: attributes of records and members of maps, as key rules see them.

use crate::otlp::encode::{open, push_bytes, push_message};
use crate::otlp::tags::{any_value, event, key_value, resource};
use crate::otlp::wire::{Fields, Value};

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

/// What rules for arrays and maps see in the values of a KeyValue.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// No array and no map.
    Plain,
    /// A text that begins as one of them in JSON does.
    JsonText,
    Nested,
}

/// The form of a KeyValue's values.
pub fn form(pair: &[u8]) -> Form {
    let mut found = Form::Plain;
    for (_, number, value) in Fields::new(pair) {
        let Value::Bytes(message) = value else { continue };
        if number != key_value::VALUE {
            continue;
        }
        for field in Fields::new(message) {
            match field {
                (_, any_value::ARRAY_VALUE | any_value::KVLIST_VALUE, Value::Bytes(_)) => return Form::Nested,
                (_, any_value::STRING_VALUE, Value::Bytes(text)) if begins_as_json(text) => found = Form::JsonText,
                _ => {}
            }
        }
    }
    found
}

fn begins_as_json(text: &[u8]) -> bool {
    let first = text.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    matches!(first, Some(b'{' | b'['))
}

/// The name of a span event: the last one counts.
pub fn event_name(message: &[u8]) -> &[u8] {
    let names = Fields::new(message).filter_map(|field| match field {
        (_, event::NAME, Value::Bytes(name)) => Some(name),
        _ => None,
    });
    names.last().unwrap_or_default()
}

/// The key of a KeyValue: the last one counts.
pub fn last_key(pair: &[u8]) -> &[u8] {
    let keys = Fields::new(pair).filter_map(|field| match field {
        (_, key_value::KEY, Value::Bytes(key)) => Some(key),
        _ => None,
    });
    keys.last().unwrap_or_default()
}

/// A resource attribute as a whole field.
pub fn attribute(key: &str, value: &str) -> Vec<u8> {
    let mut pair = Vec::new();
    push_bytes(&mut pair, key_value::KEY, key.as_bytes());
    push_message(&mut pair, key_value::VALUE, |out| push_bytes(out, any_value::STRING_VALUE, value.as_bytes()));
    let mut field = Vec::new();
    open(&mut field, resource::ATTRIBUTES, pair.len());
    field.extend_from_slice(&pair);
    field
}
