//! Attributes and values inside a document.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::documents::document_header::is_stream_field;
use crate::documents::hex::push_hex;
use crate::documents::text::{is_plain, push_document_double, push_int, push_json, repair, signature};
use crate::otlp::value::{elements, push_pairs, same, Any, Attribute};

/// Above this many members the search for duplicate keys goes through a hash table.
const FEW: usize = 64;
const EVENT_NAME: &[u8] = b"event.name";

/// Writes maps as JSON objects, of a duplicate key the first. What was made of the keys of the last ones is kept.
#[derive(Default)]
pub struct Members<'a> {
    attributes: KeyOrder<'a>,
    event_attributes: KeyOrder<'a>,
    maps: Vec<Map<'a>>,
}

/// The members of a nested map, and the keys of the last one that was as deep.
#[derive(Default)]
struct Map<'a> {
    members: Vec<Attribute<'a>>,
    order: KeyOrder<'a>,
}

/// The keys of a map as they are written. The next one of the same program mostly has them in the same order, and then
/// none has to be looked at again.
#[derive(Default)]
struct KeyOrder<'a> {
    keys: Vec<WrittenKey<'a>>,
    /// `,"key":` of each that is not left out.
    text: Vec<u8>,
}

struct WrittenKey<'a> {
    key: &'a [u8],
    /// Where it stands in the text; nowhere where the member is left out.
    begin: usize,
    end: usize,
    /// Signatures of this key and of those before.
    seen: u64,
}

impl<'a> KeyOrder<'a> {
    /// What is written before the value at `place`, a comma first; nothing where the member is left out. None if the key
    /// is not printable ASCII. It must have been asked for the places before.
    #[inline(always)]
    fn text(&mut self, attributes: &[Attribute<'a>], place: usize, skip: Skip) -> Option<&[u8]> {
        if !self.keys.get(place).is_some_and(|known| same(known.key, attributes[place].key)) {
            self.learn(attributes, place, skip)?;
        }
        let WrittenKey { begin, end, .. } = self.keys[place];
        Some(&self.text[begin..end])
    }

    #[inline(never)]
    fn learn(&mut self, attributes: &[Attribute<'a>], place: usize, skip: Skip) -> Option<()> {
        self.keys.truncate(place);
        let (begin, seen) = self.keys.last().map_or((0, 0), |before| (before.end, before.seen));
        self.text.truncate(begin);
        let key = attributes[place].key;
        if matches!(key, [] | [b' ', ..]) || !is_plain(key) {
            return None;
        }
        let bit = signature(key);
        let again = seen & bit != 0 && attributes[..place].iter().any(|other| other.key == key);
        if !again && !skip.skips(key) {
            self.text.extend_from_slice(b",\"");
            self.text.extend_from_slice(key);
            self.text.extend_from_slice(b"\":");
        }
        self.keys.push(WrittenKey { key, begin, end: self.text.len(), seen: seen | bit });
        Some(())
    }
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
        if event_name.is_some() {
            let mut order = std::mem::take(&mut self.event_attributes);
            self.push_members(out, attributes, &mut order, Skip::StreamFieldsAndEventName);
            self.event_attributes = order;
        } else {
            let mut order = std::mem::take(&mut self.attributes);
            self.push_members(out, attributes, &mut order, Skip::StreamFields);
            self.attributes = order;
        }
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
    fn push_members(&mut self, out: &mut Vec<u8>, attributes: &[Attribute<'a>], order: &mut KeyOrder<'a>, skip: Skip) {
        let before = out.len();
        if self.push_plain_members(out, attributes, order, skip).is_none() {
            out.truncate(before);
            self.push_any_members(out, attributes, skip);
        }
    }

    /// Members of few attributes whose keys are printable ASCII; None if there is another one.
    #[inline(always)]
    fn push_plain_members(
        &mut self,
        out: &mut Vec<u8>,
        attributes: &[Attribute<'a>],
        order: &mut KeyOrder<'a>,
        skip: Skip,
    ) -> Option<()> {
        if attributes.len() > FEW {
            return None;
        }
        let mut comma = false;
        for (place, attribute) in attributes.iter().enumerate() {
            let [first, rest @ ..] = order.text(attributes, place, skip)? else { continue };
            if comma {
                out.push(*first);
            }
            comma = true;
            out.extend_from_slice(rest);
            self.push_value(out, attribute.value);
        }
        Some(())
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
                let mut kept = self.maps.pop().unwrap_or_default();
                push_pairs(map, &mut kept.members);
                out.push(b'{');
                self.push_members(out, &kept.members, &mut kept.order, Skip::Nothing);
                out.push(b'}');
                kept.members.clear();
                self.maps.push(kept);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written<'a>(members: &mut Members<'a>, keys: &[&'a str], event_name: Option<&[u8]>) -> String {
        let value = Any::Int(keys.len() as i64);
        let attributes: Vec<Attribute<'a>> = keys.iter().map(|key| Attribute { key: key.as_bytes(), value }).collect();
        let mut out = b"{".to_vec();
        members.push_attributes(&mut out, &attributes, event_name);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_keys_of_the_last_map_change_nothing_of_the_next() {
        let maps: [&[&str]; 12] = [
            &["a", "b", "c"],
            &["a", "b", "c", "d"],
            &["a", "b"],
            &["a", "b", "a", "c"],
            &["a", "b", "c", "a"],
            &["data_stream.type", "a", "event.name"],
            &["data_stream.dataset"],
            &["a", "data_stream.type", "a", "b"],
            &["a", "caf\u{e9}", "b"],
            &["a", "", "b"],
            &["a", "event.name", "b"],
            &["a", "b", "c"],
        ];
        for first in maps {
            for second in maps {
                let mut kept = Members::default();
                for name in [None, Some(&b"gc"[..])] {
                    for keys in [first, second, first] {
                        assert_eq!(written(&mut kept, keys, name), written(&mut Members::default(), keys, name));
                    }
                }
            }
        }
    }

    #[test]
    fn of_a_duplicate_key_the_first_is_written() {
        let mut members = Members::default();
        for _ in 0..2 {
            assert_eq!(written(&mut members, &["a", "b", "a"], None), "{\"attributes\":{\"a\":3,\"b\":3}");
            assert_eq!(written(&mut members, &["data_stream.type", "b", "b"], None), "{\"attributes\":{\"b\":3}");
        }
    }
}
