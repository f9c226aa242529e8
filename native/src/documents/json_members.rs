//! Attributes and values inside a document.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::documents::document_header::is_stream_field;
use crate::documents::text::{is_plain, push_document_double, push_hex, push_int, push_json, repair, signature};
use crate::otlp::value::{elements, push_pairs, Any, Attribute};

/// Above this many members the search for duplicate keys goes through a hash table.
const FEW: usize = 64;
const EVENT_NAME: &[u8] = b"event.name";

/// Writes maps as JSON objects, of a duplicate key the first, and keeps the memory that nested maps need.
#[derive(Default)]
pub struct Members<'a> {
    spare: Vec<Vec<Attribute<'a>>>,
}

/// Which attributes of a map are left out.
#[derive(Clone, Copy)]
enum Skip {
    Nothing,
    StreamFields,
    StreamFieldsAndEventName,
}

impl Skip {
    #[inline(always)]
    fn skips(self, key: &[u8]) -> bool {
        match self {
            Skip::Nothing => false,
            Skip::StreamFields => is_stream_field(key),
            Skip::StreamFieldsAndEventName => is_stream_field(key) || key == EVENT_NAME,
        }
    }
}

impl<'a> Members<'a> {
    /// The member `attributes`, without those that name the data stream; left out where none is left. The name of an
    /// event follows as an attribute, where queries written for older agents look for it, in place of one so named.
    #[inline(always)]
    pub fn push_attributes(&mut self, out: &mut Vec<u8>, attributes: &[Attribute<'a>], event_name: Option<&[u8]>) {
        let event_name = event_name.filter(|name| !name.is_empty());
        if attributes.is_empty() && event_name.is_none() {
            return;
        }
        let before = out.len();
        out.extend_from_slice(if out.last() == Some(&b'{') { b"\"attributes\":{" } else { b",\"attributes\":{" });
        let open = out.len();
        let skip = if event_name.is_some() { Skip::StreamFieldsAndEventName } else { Skip::StreamFields };
        self.push_members(out, attributes, skip);
        if let Some(name) = event_name {
            out.extend_from_slice(if out.len() > open { b",\"event.name\":" } else { b"\"event.name\":" });
            push_json(out, name);
        }
        if out.len() == open {
            out.truncate(before);
        } else {
            out.push(b'}');
        }
    }

    #[inline(always)]
    fn push_members(&mut self, out: &mut Vec<u8>, attributes: &[Attribute<'a>], skip: Skip) {
        let before = out.len();
        if !self.push_plain_members(out, attributes, skip) {
            out.truncate(before);
            self.push_any_members(out, attributes, skip);
        }
    }

    /// Members of few attributes whose keys are printable ASCII; false if there is another one.
    #[inline(always)]
    fn push_plain_members(&mut self, out: &mut Vec<u8>, attributes: &[Attribute<'a>], skip: Skip) -> bool {
        if attributes.len() > FEW {
            return false;
        }
        let mut seen = 0u64;
        let mut comma = false;
        for (index, Attribute { key, value }) in attributes.iter().enumerate() {
            if matches!(key, [] | [b' ', ..]) || !is_plain(key) {
                return false;
            }
            if skip.skips(key) {
                continue;
            }
            let bit = signature(key);
            if seen & bit != 0 && attributes[..index].iter().any(|other| other.key == *key) {
                continue;
            }
            seen |= bit;
            out.reserve(key.len() + 32);
            if comma {
                out.push(b',');
            }
            comma = true;
            out.push(b'"');
            out.extend_from_slice(key);
            out.extend_from_slice(b"\":");
            self.push_value(out, *value);
        }
        true
    }

    #[inline(never)]
    fn push_any_members(&mut self, out: &mut Vec<u8>, attributes: &[Attribute<'a>], skip: Skip) {
        let mut seen: HashSet<Cow<'_, str>> = HashSet::new();
        for Attribute { key, value } in attributes {
            if skip.skips(key) {
                continue;
            }
            let mut name = repair(key);
            if name.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
                // Engines refuse names without any character but blanks.
                name = Cow::Borrowed("_");
            }
            if seen.contains(&name) {
                continue;
            }
            if !seen.is_empty() {
                out.push(b',');
            }
            push_json(out, name.as_bytes());
            out.push(b':');
            self.push_value(out, *value);
            seen.insert(name);
        }
    }

    /// A value: keys of maps in their own order, doubles with a point or exponent, bytes as hex.
    #[inline(always)]
    pub fn push_value(&mut self, out: &mut Vec<u8>, value: Any<'a>) {
        match value {
            Any::Text(text) => push_json(out, text),
            Any::Int(int) => push_int(out, int),
            _ => self.push_rare_value(out, value),
        }
    }

    #[inline(never)]
    fn push_rare_value(&mut self, out: &mut Vec<u8>, value: Any<'a>) {
        match value {
            Any::Empty => out.extend_from_slice(b"null"),
            Any::Bool(bool) => out.extend_from_slice(if bool { b"true" } else { b"false" }),
            Any::Int(int) => push_int(out, int),
            Any::Double(double) => push_document_double(out, double),
            Any::Text(text) => push_json(out, text),
            Any::Bytes(bytes) => {
                out.push(b'"');
                push_hex(out, bytes);
                out.push(b'"');
            }
            Any::Array(list) => {
                out.push(b'[');
                for (index, element) in elements(list).enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    self.push_value(out, element);
                }
                out.push(b']');
            }
            Any::Map(map) => {
                let mut members = self.spare.pop().unwrap_or_default();
                push_pairs(map, &mut members);
                out.push(b'{');
                self.push_members(out, &members, Skip::Nothing);
                out.push(b'}');
                members.clear();
                self.spare.push(members);
            }
        }
    }
}
