//! What is other in a redacted payload, place by place: it is copied once, however deep in it something changes.

use crate::otlp::encode::open;
use crate::otlp::wire::{FieldRange, Fields};
use crate::redaction::rules::Edit;

/// A length-delimited field: where it stands in the payload, and what is in it.
#[derive(Clone, Copy)]
pub struct Spot<'a> {
    pub place: FieldRange,
    pub number: u32,
    pub content: &'a [u8],
}

impl<'a> Spot<'a> {
    /// Where the content begins.
    #[inline(always)]
    pub fn begin(&self) -> usize {
        self.place.end - self.content.len()
    }

    /// The fields of the message that it holds, with their places in the payload.
    #[inline(always)]
    pub fn fields(&self) -> Fields<'a> {
        Fields::placed(self.content, self.begin())
    }
}

/// Bytes of the payload, which is shorter than 4 GiB, and what stands instead of them, as a part of `Patches::texts`.
struct Patch {
    begin: u32,
    end: u32,
    text: u32,
    text_end: u32,
}

#[derive(Default)]
pub struct Patches {
    list: Vec<Patch>,
    texts: Vec<u8>,
    /// Bytes by which the payload becomes longer.
    growth: isize,
}

/// How far patches had come.
#[derive(Clone, Copy)]
pub struct Mark {
    patches: usize,
    texts: usize,
    growth: isize,
}

impl Patches {
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    #[inline(always)]
    pub fn mark(&self) -> Mark {
        Mark { patches: self.list.len(), texts: self.texts.len(), growth: self.growth }
    }

    /// What was patched since then is left as it was.
    pub fn undo(&mut self, mark: Mark) {
        self.list.truncate(mark.patches);
        self.texts.truncate(mark.texts);
        self.growth = mark.growth;
    }

    /// The length of what was `length` bytes long before what was patched in it since then.
    #[inline(always)]
    pub fn length(&self, length: usize, mark: Mark) -> usize {
        length.wrapping_add_signed(self.growth - mark.growth)
    }

    /// Leaves out what stands there.
    pub fn skip(&mut self, place: FieldRange) {
        self.growth -= (place.end - place.begin) as isize;
        match self.list.last_mut() {
            Some(last) if last.end == place.begin as u32 && last.text == last.text_end => last.end = place.end as u32,
            _ => self.push(self.list.len(), place, self.texts.len()),
        }
    }

    /// Leaves out what is in a field; its length is for `close`.
    pub fn empty(&mut self, spot: Spot<'_>) {
        if !spot.content.is_empty() {
            self.skip(FieldRange { begin: spot.begin(), end: spot.place.end });
        }
    }

    /// Bytes in front of what stands there.
    pub fn insert(&mut self, begin: usize, bytes: &[u8]) {
        let text = self.texts.len();
        self.texts.extend_from_slice(bytes);
        self.growth += bytes.len() as isize;
        self.push(self.list.len(), FieldRange { begin, end: begin }, text);
    }

    /// What becomes of a field.
    #[inline(always)]
    pub fn edit(&mut self, spot: Spot<'_>, edit: Edit) {
        match edit {
            Edit::Same => {}
            Edit::Drop => self.skip(spot.place),
            Edit::Put(new) if new == spot.content => {}
            Edit::Put(new) => self.put(spot, &new),
        }
    }

    /// The field with another content. Fields with a content that changes have numbers below 16.
    #[cold]
    fn put(&mut self, spot: Spot<'_>, content: &[u8]) {
        let text = self.texts.len();
        open(&mut self.texts, spot.number, content.len());
        self.texts.extend_from_slice(content);
        self.growth += (self.texts.len() - text) as isize - (spot.place.end - spot.place.begin) as isize;
        self.push(self.list.len(), spot.place, text);
    }

    /// The field of a message in which something may have been patched since then gets its new length.
    #[inline(always)]
    pub fn close(&mut self, spot: Spot<'_>, mark: Mark) {
        if self.list.len() > mark.patches {
            self.put_length(spot, mark);
        }
    }

    fn put_length(&mut self, spot: Spot<'_>, mark: Mark) {
        let length = self.length(spot.content.len(), mark);
        let head = FieldRange { begin: spot.place.begin, end: spot.begin() };
        let text = self.texts.len();
        open(&mut self.texts, spot.number, length);
        self.growth += (self.texts.len() - text) as isize - (head.end - head.begin) as isize;
        self.push(mark.patches, head, text);
    }

    fn push(&mut self, at: usize, place: FieldRange, text: usize) {
        let text_end = self.texts.len() as u32;
        let patch = Patch { begin: place.begin as u32, end: place.end as u32, text: text as u32, text_end };
        self.list.insert(at, patch);
    }

    /// The patched payload.
    pub fn applied(mut self, payload: &[u8]) -> Vec<u8> {
        // What stands around records is patched before them, wherever it stands.
        self.list.sort_by_key(|patch| patch.begin);
        let mut out = Vec::with_capacity(payload.len().wrapping_add_signed(self.growth));
        let mut copied = 0;
        for patch in &self.list {
            out.extend_from_slice(&payload[copied..patch.begin as usize]);
            out.extend_from_slice(&self.texts[patch.text as usize..patch.text_end as usize]);
            copied = patch.end as usize;
        }
        out.extend_from_slice(&payload[copied..]);
        out
    }
}
