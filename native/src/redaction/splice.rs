//! Copies of messages in which some fields are others.

use crate::otlp::encode::push_bytes;
use crate::otlp::wire::FieldRange;
use crate::redaction::rules::Edit;

/// A message that is copied only where something in it changes.
pub struct Splice<'a> {
    source: &'a [u8],
    pub out: Vec<u8>,
    copied: usize,
}

impl<'a> Splice<'a> {
    pub fn new(source: &'a [u8]) -> Self {
        Splice { source, out: Vec::new(), copied: 0 }
    }

    /// Copies up to `place`, and leaves out what stands there.
    pub fn skip(&mut self, place: FieldRange) {
        if self.out.is_empty() {
            self.out.reserve(self.source.len() + 64);
        }
        self.out.extend_from_slice(&self.source[self.copied..place.begin]);
        self.copied = place.end;
    }

    /// The field `number` that stands at `place` with the content `old`.
    #[inline(always)]
    pub fn edit(&mut self, place: FieldRange, number: u32, old: &[u8], edit: Edit) {
        match edit {
            Edit::Same => {}
            Edit::Drop => self.skip(place),
            Edit::Put(new) if new == old => {}
            Edit::Put(new) => {
                self.skip(place);
                // Fields with a content that changes have numbers below 16.
                push_bytes(&mut self.out, number, &new);
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
