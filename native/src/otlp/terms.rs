//! Hashes of what the accepted spans of a payload can be found by: pairs of an attribute's key and value, the
//! resource's included. See `sidecar.decode.otlp.terms`, the reference.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::documents::hex::push_hex;
use crate::documents::text::{push_int, push_label_double, repair};
use crate::otlp::rejection::Rejection;
use crate::otlp::request::{walk, RecordIndex, Resource, Scope, Scopes, Visitor};
use crate::otlp::span::Span;
use crate::otlp::value::{elements, Any, Attribute};
use crate::otlp::wire::Stop;

/// Of so many keys each is compared with all; more are put into a table.
const FEW: usize = 64;
/// Bytes of the beginnings of a text that are terms too, the longest first.
pub const BEGINNINGS: [usize; 7] = [16, 12, 8, 6, 4, 2, 1];

/// A term is a hash already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64(bytes);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[derive(Default)]
struct Terms<'a> {
    found: HashSet<u64, BuildHasherDefault<Identity>>,
    resource: Vec<Attribute<'a>>,
    /// Hashes of the record's keys so far.
    keys: Vec<u64>,
    /// The attribute that stood in each place before, with the hash of its key: records of one library are alike.
    before: Vec<(Attribute<'a>, u64)>,
    text: Vec<u8>,
}

/// The distinct hashes, in order.
pub fn spans(payload: &[u8]) -> Result<Vec<u64>, Stop> {
    let mut terms = Terms::default();
    match walk::<Span, _>(payload, Scopes::Ahead, &mut terms) {
        Err(Stop::LateScope) => {
            terms = Terms::default();
            walk::<Span, _>(payload, Scopes::Whole, &mut terms)?;
        }
        other => other?,
    }
    let mut found: Vec<u64> = terms.found.into_iter().collect();
    found.sort_unstable();
    Ok(found)
}

impl<'a> Terms<'a> {
    fn add(&mut self, attributes: &[Attribute<'a>]) {
        self.keys.clear();
        let mut table = (attributes.len() > FEW).then(HashSet::new);
        for (place, attribute) in attributes.iter().enumerate() {
            let before = self.before.get(place).copied();
            let (key, known) = match before {
                Some((before, key)) if before.key == attribute.key => (key, same_text(before.value, attribute.value)),
                _ => (xxh3_64(repair(attribute.key).as_bytes()), false),
            };
            let new = match &mut table {
                Some(table) => table.insert(key),
                None => !self.keys.contains(&key),
            };
            // The value of a key that was there already is no term, so that nothing is known of it in the next record.
            let now = (Attribute { value: if new { attribute.value } else { Any::Empty }, ..*attribute }, key);
            match self.before.get_mut(place) {
                Some(before) => *before = now,
                None => self.before.push(now),
            }
            if new {
                self.keys.push(key);
                if !known {
                    self.put(key, attribute.value);
                }
            }
        }
    }

    fn put(&mut self, key: u64, value: Any<'_>) {
        self.text.clear();
        match value {
            Any::Text(text) => return self.put_text(repair(text).as_bytes(), key),
            Any::Bool(bool) => self.text.extend_from_slice(if bool { b"true" } else { b"false" }),
            Any::Int(int) => push_int(&mut self.text, int),
            Any::Double(double) if double.is_finite() => push_label_double(&mut self.text, double),
            Any::Bytes(bytes) => {
                let mut text = std::mem::take(&mut self.text);
                push_hex(&mut text, bytes);
                self.put_text(&text, key);
                self.text = text;
                return;
            }
            Any::Array(message) => return elements(message).for_each(|element| self.put(key, element)),
            Any::Double(_) | Any::Map(_) | Any::Empty => return,
        }
        self.found.insert(xxh3_64_with_seed(&self.text, key));
    }

    /// A text and its beginnings. Where one of these is there, those of it are.
    fn put_text(&mut self, text: &[u8], key: u64) {
        self.found.insert(xxh3_64_with_seed(text, key));
        for beginning in BEGINNINGS.iter().filter_map(|&length| text.get(..length)) {
            if !self.found.insert(xxh3_64_with_seed(beginning, !key)) {
                return;
            }
        }
    }
}

fn same_text(before: Any<'_>, now: Any<'_>) -> bool {
    matches!((before, now), (Any::Text(before), Any::Text(now)) if before == now)
}

impl<'a> Visitor<'a, Span<'a>> for Terms<'a> {
    fn resource(&mut self, resource: &Resource<'a>, rejection: Option<Rejection>) {
        self.resource.clear();
        if rejection.is_none() {
            self.resource.extend_from_slice(&resource.attributes.list);
        }
    }

    fn scope(&mut self, _: &Resource<'a>, _: &Scope<'a>, _: Option<Rejection>) {}

    fn record(&mut self, _: RecordIndex, span: &Span<'a>) {
        // With the first span that is accepted: a resource without one is found by nothing.
        let resource = std::mem::take(&mut self.resource);
        self.add(&resource);
        self.add(&span.attributes.list);
    }

    fn refused(&mut self, _: RecordIndex, _: Option<Rejection>) {}
}
