//! How the feature columns of the last event stand on the wire. Those of the next one mostly have the same names in the same
//! order, and differ in the values alone.

use std::ops::Range;

use crate::otlp::value::{head_of_one_double, is_one_double, Any, Attribute};

const VALUE_BYTES: usize = size_of::<u64>();

/// Columns that are one double each are compared all at once, the bytes of their values left out.
#[derive(Default)]
pub struct FeatureTemplate {
    keys: Vec<u8>,
    /// What stands in front of each column's value where it is one double, and zeros for that.
    image: Vec<u8>,
    /// Which bits of `image` count.
    mask: Vec<u8>,
    /// Where each column ends in `keys` and in `image`.
    ends: Vec<(usize, usize)>,
    /// So many columns, of which each is one double, or none is.
    runs: Vec<(usize, bool)>,
}

/// Columns one after the other.
pub struct Run<'t> {
    pub columns: Range<usize>,
    /// In the last event each was one double.
    pub doubles: bool,
    image: &'t [u8],
    mask: &'t [u8],
    ends: &'t [(usize, usize)],
    /// Where `image` is in the template's.
    begin: usize,
}

impl FeatureTemplate {
    pub fn clear(&mut self) {
        self.keys.clear();
        self.image.clear();
        self.mask.clear();
        self.ends.clear();
        self.runs.clear();
    }

    /// One more column.
    pub fn push(&mut self, pair: &Attribute<'_>) {
        self.keys.extend_from_slice(pair.key);
        self.image.extend(head_of_one_double(pair.key));
        self.mask.resize(self.image.len(), 0xff);
        self.image.resize(self.image.len() + VALUE_BYTES, 0);
        self.mask.resize(self.image.len(), 0);
        self.ends.push((self.keys.len(), self.image.len()));
        let double = matches!(pair.value, Any::Array(array) if is_one_double(array));
        match self.runs.last_mut() {
            Some((columns, doubles)) if *doubles == double => *columns += 1,
            _ => self.runs.push((1, double)),
        }
    }

    pub fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        let mut first = 0;
        self.runs.iter().map(move |&(columns, doubles)| {
            let columns = first..first + columns;
            let bytes = self.begin_of(columns.start).1..self.begin_of(columns.end).1;
            first = columns.end;
            Run {
                doubles,
                image: &self.image[bytes.clone()],
                mask: &self.mask[bytes.clone()],
                ends: &self.ends[columns.clone()],
                columns,
                begin: bytes.start,
            }
        })
    }

    pub fn key(&self, place: usize) -> &[u8] {
        &self.keys[self.begin_of(place).0..self.ends[place].0]
    }

    /// What stands in front of a column's value where it is one double.
    pub fn head(&self, place: usize) -> &[u8] {
        &self.image[self.begin_of(place).1..self.ends[place].1 - VALUE_BYTES]
    }

    fn begin_of(&self, column: usize) -> (usize, usize) {
        column.checked_sub(1).map_or((0, 0), |before| self.ends[before])
    }
}

impl Run<'_> {
    /// Bytes that the run takes where all its columns are one double.
    pub fn length(&self) -> usize {
        self.image.len()
    }

    /// The values of these columns, where they stand first in these bytes, and are one double each.
    #[inline(always)]
    pub fn read<'a>(&self, found: &'a [u8]) -> Option<impl ExactSizeIterator<Item = f64> + use<'a, '_>> {
        let found = found.get(..self.image.len())?;
        if !self.doubles || !self.is_like(found) {
            return None;
        }
        let begin = self.begin;
        Some(self.ends.iter().map(move |(_, end)| {
            let bits = found.get(..end - begin).and_then(|before| before.last_chunk());
            bits.map_or(0.0, |bits| f64::from_le_bytes(*bits))
        }))
    }

    /// The last bytes, fewer than eight, are of the last value.
    #[inline(always)]
    fn is_like(&self, found: &[u8]) -> bool {
        let words = found.as_chunks().0.iter().zip(self.image.as_chunks().0).zip(self.mask.as_chunks().0);
        let differ = words.fold(0, |differ, ((&found, &image), &mask)| {
            differ | (u64::from_le_bytes(found) ^ u64::from_le_bytes(image)) & u64::from_le_bytes(mask)
        });
        differ == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: [u8; 11] = [10, 9, 33, 0, 0, 0, 0, 0, 0, 0, 0];

    fn template(columns: &[(&str, Any<'_>)]) -> FeatureTemplate {
        let mut template = FeatureTemplate::default();
        for (key, value) in columns {
            template.push(&Attribute { key: key.as_bytes(), value: *value });
        }
        template
    }

    fn wire(columns: &[(&str, f64)]) -> Vec<u8> {
        let each = columns
            .iter()
            .map(|(key, value)| [head_of_one_double(key.as_bytes()), value.to_le_bytes().into()].concat());
        each.collect::<Vec<_>>().concat()
    }

    #[test]
    fn columns_of_one_double_are_read_together() {
        let one = Any::Array(&ONE);
        let known = template(&[("a", one), ("longer", one), ("text", Any::Text(b"x")), ("b", one)]);
        let runs: Vec<_> = known.runs().collect();
        assert_eq!(runs.iter().map(|run| run.columns.clone()).collect::<Vec<_>>(), [0..2, 2..3, 3..4]);
        let same = wire(&[("a", 1.5), ("longer", -2.0), ("more", 3.0)]);
        let read = |run: &Run<'_>, found: &[u8]| run.read(found).map(Iterator::collect::<Vec<_>>);
        assert_eq!(read(&runs[0], &same), Some(vec![1.5, -2.0]));
        assert_eq!(read(&runs[0], &same[..runs[0].length() - 1]), None);
        assert_eq!(read(&runs[0], &wire(&[("a", 1.5), ("lONger", -2.0)])), None);
        assert_eq!(read(&runs[1], &wire(&[("text", 1.0)])), None);
        assert_eq!(read(&runs[2], &wire(&[("b", 4.0)])), Some(vec![4.0]));
        assert_eq!((known.key(1), known.head(1)), (b"longer".as_slice(), head_of_one_double(b"longer").as_slice()));
    }
}
