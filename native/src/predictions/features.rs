//! The feature columns of events: numbers, and texts by their place in a table.

use std::ops::Range;

use crate::documents::text::{cut, repair};
use crate::otlp::intern::{parts, push_part, Interner};
use crate::otlp::label;
use crate::otlp::limits::{MAX_FEATURES, MAX_FEATURE_CHARS, MAX_FEATURE_VALUES, MAX_LEFT_OUT_NAMES};
use crate::otlp::tags::key_value_list;
use crate::otlp::value::{elements, head_of_one_double, one_double, plain_elements, usual_column, Any};
use crate::otlp::wire::{Reader, Value};

pub const MISSING: u8 = 0;
pub const NUMBER: u8 = 1;
pub const TEXT: u8 = 2;
pub const BOOL: u8 = 3;
/// An array, a map or bytes.
const OTHER: u8 = 4;
/// All of them by name.
pub const KINDS: &[(&str, u8)] =
    &[("MISSING", MISSING), ("NUMBER", NUMBER), ("TEXT", TEXT), ("BOOL", BOOL), ("OTHER", OTHER)];

/// Bytes of the shortest element of an array.
const LEAST_ELEMENT: usize = 2;

/// Where numbers are too far out: limits of each group of events and each name, those of the first group first.
pub struct Limits<'a> {
    /// Group of each event.
    pub group: &'a [u32],
    pub least: &'a [f64],
    pub greatest: &'a [f64],
    /// Of this magnitude and more it is no number.
    pub magnitude: f64,
}

/// Values that are beyond their limits.
#[derive(Default)]
pub struct Far {
    pub event: Vec<u32>,
    pub name: Vec<u32>,
    /// Place of the value in its column.
    pub row: Vec<u32>,
}

#[derive(Default)]
pub struct Features {
    pub event: Vec<u32>,
    pub name: Vec<u32>,
    pub ends: Vec<u32>,
    pub kind: Vec<u8>,
    pub number: Vec<f64>,
    /// For each event the columns that were left out.
    pub left_out: Vec<u32>,
    pub left_out_names: Vec<String>,
    names: Option<Interner>,
    texts: Option<Interner>,
    /// Where the values of the event at hand begin.
    begin: usize,
    /// The keys of the last event, as they stand on the wire, and their names' numbers: the next one mostly has the same.
    keys: Vec<u8>,
    /// For each of them what stands in front of its value where that is an array of one double.
    heads: Vec<u8>,
    numbers: Vec<u32>,
}

impl Features {
    pub fn names(&self) -> Vec<&str> {
        texts_of(self.names.as_ref())
    }

    pub fn texts(&self) -> Vec<&str> {
        texts_of(self.texts.as_ref())
    }

    /// Where the columns of the events from `first` to before `last` are.
    pub fn columns_of(&self, first: u32, last: u32) -> Range<usize> {
        self.event.partition_point(|event| *event < first)..self.event.partition_point(|event| *event < last)
    }

    /// Where the values of a column begin; those of the column behind the last one at the end of all values.
    pub fn begin_of(&self, column: usize) -> usize {
        column.checked_sub(1).map_or(0, |before| self.ends[before] as usize)
    }

    /// Numbers and bools beyond their limits, of the events from `first` on that have a group; numbers of events count
    /// from there. None where there are no limits for a group or a name.
    pub fn beyond(&self, first: u32, limits: &Limits<'_>) -> Option<Far> {
        let names = self.names.as_ref().map_or(0, Interner::len);
        let columns = self.columns_of(first, first + limits.group.len() as u32);
        let mut found = Far::default();
        let mut begin = self.begin_of(columns.start);
        for ((&event, &name), &end) in
            self.event[columns.clone()].iter().zip(&self.name[columns.clone()]).zip(&self.ends[columns])
        {
            let values = begin..end as usize;
            begin = end as usize;
            let event = event - first;
            let own = limits.group[event as usize] as usize * names + name as usize;
            let (least, greatest) = (*limits.least.get(own)?, *limits.greatest.get(own)?);
            for (row, (&kind, &value)) in self.kind[values.clone()].iter().zip(&self.number[values]).enumerate() {
                let far = (value < least || value > greatest) && value.abs() < limits.magnitude;
                if far && (kind == NUMBER || kind == BOOL) {
                    found.event.push(event);
                    found.name.push(name);
                    found.row.push(row as u32);
                }
            }
        }
        Some(found)
    }

    /// The columns of one event. `before`: columns that the sender left out.
    pub fn add(&mut self, event: u32, features: Option<Any<'_>>, before: u64) {
        let mut left = u32::try_from(before).unwrap_or(u32::MAX);
        self.begin = self.kind.len();
        if let Some(Any::Map(message)) = features {
            if !self.add_known(event, message) {
                left = left.saturating_add(self.add_named(event, message));
            }
        }
        self.left_out.push(left);
    }

    /// The columns of an event with the keys of the last one, written as nearly all are; false, and nothing added, where
    /// they are others, or where there is no room for all.
    fn add_known(&mut self, event: u32, message: &[u8]) -> bool {
        let (keys, heads) = (std::mem::take(&mut self.keys), std::mem::take(&mut self.heads));
        let added = self.known_columns(message, &keys, &heads).is_some();
        (self.keys, self.heads) = (keys, heads);
        if added {
            self.name.extend_from_slice(&self.numbers);
            self.event.resize(self.name.len(), event);
        } else {
            self.kind.truncate(self.begin);
            self.number.truncate(self.begin);
            self.ends.truncate(self.name.len());
        }
        added
    }

    /// The values of these columns.
    fn known_columns(&mut self, message: &[u8], keys: &[u8], heads: &[u8]) -> Option<()> {
        let mut reader = Reader::new(message);
        for (key, head) in parts(keys).zip(parts(heads)) {
            if self.kind.len() >= self.begin + MAX_FEATURE_VALUES {
                return None;
            }
            if let Some(bits) = reader.fixed64_behind(head) {
                self.double(f64::from_bits(bits));
            } else {
                let pair = next_pair(&mut reader)?;
                if let Some((found, double)) = one_double(pair) {
                    self.double((found == key).then_some(double)?);
                } else {
                    let (found, array) = usual_column(pair)?;
                    self.plain_values((found == key).then_some(array)?)?;
                }
            }
            self.ends.push(self.kind.len() as u32);
        }
        next_pair(&mut reader).is_none().then_some(())
    }

    /// The columns of an event with any keys; how many were left out.
    fn add_named(&mut self, event: u32, message: &[u8]) -> u32 {
        let mut left = 0;
        self.forget_keys();
        let mut columns = 0;
        for (name, pair) in label::first_of_each_key(message) {
            let name = cut(&name, MAX_FEATURE_CHARS);
            if columns < MAX_FEATURES {
                let number = self.names.get_or_insert_with(Interner::new).intern(name.as_bytes()).0;
                if self.column(event, number, pair.value) {
                    columns += 1;
                    self.numbers.push(number);
                    push_part(&mut self.keys, pair.key);
                    push_part(&mut self.heads, &head_of_one_double(pair.key));
                    continue;
                }
            }
            left += 1;
            self.leave_out(name);
        }
        if left > 0 || columns != elements(message).count() {
            // Not all of them became columns: the next event has to be looked at as closely.
            self.forget_keys();
        }
        left
    }

    fn forget_keys(&mut self) {
        self.keys.clear();
        self.heads.clear();
        self.numbers.clear();
    }

    fn leave_out(&mut self, name: &str) {
        if self.left_out_names.len() < MAX_LEFT_OUT_NAMES && self.left_out_names.iter().all(|known| known != name) {
            self.left_out_names.push(name.to_owned());
        }
    }

    /// False where there is no room for the column.
    fn column(&mut self, event: u32, name: u32, value: Any<'_>) -> bool {
        let most = self.begin + MAX_FEATURE_VALUES;
        let begin = self.kind.len();
        match value {
            Any::Array(message) if self.plain_values(message).is_some() => {}
            Any::Array(message) => {
                self.kind.truncate(begin);
                self.number.truncate(begin);
                for element in elements(message) {
                    self.push(element);
                    if self.kind.len() > most {
                        break;
                    }
                }
            }
            one => self.push(one),
        }
        if self.kind.len() > most {
            self.kind.truncate(begin);
            self.number.truncate(begin);
            return false;
        }
        self.event.push(event);
        self.name.push(name);
        self.ends.push(self.kind.len() as u32);
        true
    }

    /// The values of an array that is written as nearly all are, and for which there is room; None where it is not: what
    /// was added is to be taken back.
    #[inline(always)]
    fn plain_values(&mut self, array: &[u8]) -> Option<()> {
        let room = self.begin + MAX_FEATURE_VALUES - self.kind.len();
        if array.len() > room * LEAST_ELEMENT {
            return None;
        }
        plain_elements(array, |value| self.push(value))
    }

    #[inline(always)]
    fn double(&mut self, double: f64) {
        self.kind.push(if double.is_nan() { MISSING } else { NUMBER });
        self.number.push(if double.is_nan() { 0.0 } else { double });
    }

    #[inline(always)]
    fn push(&mut self, value: Any<'_>) {
        let (kind, number) = match value {
            Any::Double(double) => return self.double(double),
            Any::Int(int) => (NUMBER, int as f64),
            Any::Bool(bool) => (BOOL, f64::from(u8::from(bool))),
            Any::Text(text) => (TEXT, self.text(text)),
            Any::Empty => (MISSING, 0.0),
            _ => (OTHER, 0.0),
        };
        self.kind.push(kind);
        self.number.push(number);
    }

    /// Place in the table of texts.
    fn text(&mut self, bytes: &[u8]) -> f64 {
        let texts = self.texts.get_or_insert_with(Interner::new);
        if bytes.len() <= MAX_FEATURE_CHARS && bytes.is_ascii() {
            return f64::from(texts.intern(bytes).0);
        }
        let text = repair(bytes);
        f64::from(texts.intern(cut(&text, MAX_FEATURE_CHARS).as_bytes()).0)
    }
}

/// The next pair of a map.
#[inline(always)]
fn next_pair<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    loop {
        if let (key_value_list::VALUES, Value::Bytes(pair)) = reader.next().ok().flatten()? {
            return Some(pair);
        }
    }
}

fn texts_of(table: Option<&Interner>) -> Vec<&str> {
    let Some(table) = table else { return Vec::new() };
    (0..table.len()).map(|row| std::str::from_utf8(table.get(row)).unwrap_or_default()).collect()
}
