//! Messages by their fields, and copies of them in which some fields are others.

use crate::otlp::encode::push_bytes;
use crate::otlp::wire::{Reader, Value};
use crate::redaction::rules::Edit;

/// What a field is, and so what may become of it.
#[derive(Clone, Copy)]
pub enum Kind {
    Keep,
    Text,
    /// Bytes of one of these lengths.
    Id(&'static [usize]),
    Pair,
    Any,
    Message(Shape),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Resource,
    Scope,
    Span,
    Event,
    Link,
    Status,
    Log,
}

impl Shape {
    /// The kind of a field; None where it is not known.
    #[inline(always)]
    pub fn kind(self, number: u32, value: &Value<'_>) -> Option<Kind> {
        use Value::{Bytes, Fixed32, Fixed64, Varint};
        Some(match (self, number, value) {
            (Shape::Span, 9, Bytes(_)) | (Shape::Log, 6, Bytes(_)) => Kind::Pair,
            (Shape::Span, 1, Bytes(_)) | (Shape::Link, 1, Bytes(_)) => Kind::Id(&[16]),
            (Shape::Span, 2, Bytes(_)) | (Shape::Link, 2, Bytes(_)) => Kind::Id(&[8]),
            (Shape::Span, 4, Bytes(_)) => Kind::Id(&[0, 8]),
            (Shape::Span, 3 | 5, Bytes(_)) => Kind::Text,
            (Shape::Span, 6 | 10 | 12 | 14, Varint(_)) => Kind::Keep,
            (Shape::Span, 7 | 8, Fixed64(_)) => Kind::Keep,
            (Shape::Span, 11, Bytes(_)) => Kind::Message(Shape::Event),
            (Shape::Span, 13, Bytes(_)) => Kind::Message(Shape::Link),
            (Shape::Span, 15, Bytes(_)) => Kind::Message(Shape::Status),
            (Shape::Span, 16, Fixed32(_)) => Kind::Keep,
            (Shape::Log, 1 | 11, Fixed64(_)) => Kind::Keep,
            (Shape::Log, 2 | 7, Varint(_)) => Kind::Keep,
            (Shape::Log, 3 | 12, Bytes(_)) => Kind::Text,
            (Shape::Log, 5, Bytes(_)) => Kind::Any,
            (Shape::Log, 8, Fixed32(_)) => Kind::Keep,
            (Shape::Log, 9, Bytes(_)) => Kind::Id(&[0, 16]),
            (Shape::Log, 10, Bytes(_)) => Kind::Id(&[0, 8]),
            (Shape::Resource, 1, Bytes(_)) | (Shape::Scope | Shape::Event, 3, Bytes(_)) => Kind::Pair,
            (Shape::Link, 4, Bytes(_)) => Kind::Pair,
            (Shape::Resource, 2, Varint(_)) | (Shape::Scope | Shape::Event, 4, Varint(_)) => Kind::Keep,
            (Shape::Scope, 1 | 2, Bytes(_)) | (Shape::Event | Shape::Status, 2, Bytes(_)) => Kind::Text,
            (Shape::Event, 1, Fixed64(_)) | (Shape::Link, 5, Varint(_)) => Kind::Keep,
            (Shape::Link, 3, Bytes(_)) => Kind::Text,
            (Shape::Link, 6, Fixed32(_)) | (Shape::Status, 3, Varint(_)) => Kind::Keep,
            _ => return None,
        })
    }
}

/// A message that is copied only where something in it changes.
pub struct Patch<'a> {
    source: &'a [u8],
    pub out: Vec<u8>,
    copied: usize,
}

/// Where a field begins and ends in its message.
#[derive(Clone, Copy)]
pub struct Place {
    pub begin: usize,
    pub end: usize,
}

impl<'a> Patch<'a> {
    pub fn new(source: &'a [u8]) -> Self {
        Patch { source, out: Vec::new(), copied: 0 }
    }

    /// Copies up to `place`, and leaves out what stands there.
    pub fn skip(&mut self, place: Place) {
        if self.out.is_empty() {
            self.out.reserve(self.source.len() + 64);
        }
        self.out.extend_from_slice(&self.source[self.copied..place.begin]);
        self.copied = place.end;
    }

    /// The field `number` that stands at `place` with the content `old`.
    #[inline(always)]
    pub fn edit(&mut self, place: Place, number: u32, old: &[u8], edit: Edit) {
        match edit {
            Edit::Same => {}
            Edit::Drop => self.skip(place),
            Edit::Put(new) if new == old => {}
            Edit::Put(new) => {
                self.skip(place);
                // Fields with a content that changes have numbers below 16.
                push_bytes(&mut self.out, number as u8, &new);
            }
        }
    }

    #[inline(always)]
    pub fn finish(mut self) -> Edit {
        if self.copied == 0 && self.out.is_empty() {
            return Edit::Same;
        }
        self.out.extend_from_slice(&self.source[self.copied..]);
        Edit::Put(self.out)
    }
}

/// The fields of a message that was walked before, each with its place.
pub struct Fields<'a> {
    length: usize,
    reader: Reader<'a>,
}

impl<'a> Fields<'a> {
    #[inline(always)]
    pub fn new(message: &'a [u8]) -> Self {
        Fields { length: message.len(), reader: Reader::new(message) }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (Place, u32, Value<'a>);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let begin = self.length - self.reader.rest().len();
        let (number, value) = self.reader.next().ok().flatten()?;
        Some((Place { begin, end: self.length - self.reader.rest().len() }, number, value))
    }
}
