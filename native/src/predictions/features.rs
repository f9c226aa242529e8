//! The feature columns of events: numbers, and texts by their place in a table.

use std::ops::Range;

use crate::documents::text::cut;
use crate::otlp::intern::Interner;
use crate::otlp::label;
use crate::otlp::limits::{MAX_FEATURES, MAX_FEATURE_CHARS, MAX_FEATURE_VALUES, MAX_LEFT_OUT_NAMES};
use crate::otlp::tags::key_value_list;
use crate::otlp::value::{elements, plain_doubles, plain_elements, usual_column, Any};
use crate::otlp::wire::{Reader, Value};
use crate::predictions::feature_blocks::{Block, Blocks};
use crate::predictions::feature_template::FeatureTemplate;
use crate::predictions::known_pairs::KnownPairs;
use crate::predictions::text_table::TextTable;

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
    pub blocks: Blocks,
    pub kind: Vec<u8>,
    pub number: Vec<f64>,
    /// For each event the columns that were left out.
    pub left_out: Vec<u32>,
    pub left_out_names: Vec<String>,
    names: Option<Interner>,
    texts: Option<TextTable>,
    /// Where the values of the event at hand begin.
    begin: usize,
    /// The columns of the last event, and their names' numbers: the next one mostly has the same.
    template: FeatureTemplate,
    pairs: KnownPairs,
    columns: Vec<u32>,
    /// Values of each column of the event at hand.
    rows: Vec<u32>,
    /// Bytes of the payloads in which the events are.
    bytes: usize,
}

/// Columns one after the other, each of one event and one feature.
#[derive(Default)]
pub struct Columns {
    /// Of each, from the first one that was asked for.
    pub event: Vec<u32>,
    pub name: Vec<u32>,
    pub ends: Vec<u32>,
}

impl Features {
    /// `bytes`: of the payloads in which the events are.
    pub fn new(bytes: usize) -> Self {
        Features { bytes, ..Features::default() }
    }

    pub fn names(&self) -> Vec<&str> {
        texts_of(self.names.as_ref())
    }

    pub fn texts(&self) -> Vec<&str> {
        texts_of(self.texts.as_ref().map(TextTable::all))
    }

    /// The columns of the events from `first` to before `last`.
    pub fn columns(&self, first: u32, last: u32) -> Columns {
        let mut found = Columns::default();
        let mut end = 0;
        for block in self.blocks.between(first, last) {
            for event in block.event..block.event + block.events {
                for &name in self.blocks.names(&block) {
                    end += block.rows;
                    found.event.push(event - first);
                    found.name.push(name);
                    found.ends.push(end);
                }
            }
        }
        found
    }

    /// Where the values of these events are.
    pub fn values(&self, first: u32, last: u32) -> Range<usize> {
        let mut found = self.blocks.between(first, last);
        let Some(block) = found.next() else { return 0..0 };
        block.begin..found.last().unwrap_or(block).end()
    }

    /// Numbers and bools beyond their limits, of the events from `first` on that have a group; numbers of events count
    /// from there. None where there are no limits for a group or a name.
    pub fn beyond(&self, first: u32, limits: &Limits<'_>) -> Option<Far> {
        let names = self.names.as_ref().map_or(0, Interner::len);
        let mut found = Far::default();
        let mut own: Vec<(f64, f64)> = Vec::new();
        for block in self.blocks.between(first, first + limits.group.len() as u32) {
            let mut of_group = None;
            let mut begin = block.begin;
            for event in block.event - first..block.event - first + block.events {
                let group = limits.group[event as usize];
                if of_group != Some(group) {
                    let all =
                        self.blocks.names(&block).iter().map(|&name| limits.of(group as usize * names + name as usize));
                    own = all.collect::<Option<_>>()?;
                    of_group = Some(group);
                }
                let values = self.number.get(begin..begin + block.values())?;
                if block.rows > 0 && any_beyond(values, &own, block.rows as usize) {
                    self.note_beyond(event, &block, begin, limits, &own, &mut found);
                }
                begin += block.values();
            }
        }
        Some(found)
    }

    /// The values of one event of a block that are beyond their limits.
    fn note_beyond(
        &self,
        event: u32,
        block: &Block,
        mut begin: usize,
        limits: &Limits<'_>,
        own: &[(f64, f64)],
        found: &mut Far,
    ) {
        for (&name, &(least, greatest)) in self.blocks.names(block).iter().zip(own) {
            for row in 0..block.rows {
                let (kind, value) = (self.kind[begin], self.number[begin]);
                begin += 1;
                let far = (value < least || value > greatest) && value.abs() < limits.magnitude;
                if far && (kind == NUMBER || kind == BOOL) {
                    found.event.push(event);
                    found.name.push(name);
                    found.row.push(row);
                }
            }
        }
    }

    /// The columns of one event. `before`: columns that the sender left out.
    pub fn add(&mut self, event: u32, features: Option<Any<'_>>, before: u64) {
        let mut left = u32::try_from(before).unwrap_or(u32::MAX);
        self.begin = self.kind.len();
        if let Some(Any::Map(message)) = features {
            self.rows.clear();
            if !self.add_known(message) {
                left = left.saturating_add(self.add_named(message));
            }
            self.end_event(event);
            if self.begin == 0 {
                self.make_room(message.len());
            }
        }
        self.left_out.push(left);
    }

    /// Say which columns there are, one after the other while they are as long.
    fn end_event(&mut self, event: u32) {
        let (mut first, mut begin) = (0, self.begin);
        for same in self.rows.chunk_by(|a, b| a == b) {
            let end = first + same.len();
            self.blocks.push(event, &self.columns[first..end], same[0], begin);
            (first, begin) = (end, begin + same.len() * same[0] as usize);
        }
    }

    /// For the values of all events, where they are like those of the first one, which took so many bytes.
    fn make_room(&mut self, bytes: usize) {
        let values = self.bytes / bytes.max(1) * self.kind.len();
        self.kind.reserve(values);
        self.number.reserve(values);
    }

    /// The columns of an event with the keys of the last one, written as nearly all are; false, and nothing added, where
    /// they are others, or where there is no room for all.
    fn add_known(&mut self, message: &[u8]) -> bool {
        let template = std::mem::take(&mut self.template);
        let added = self.known_columns(message, &template).is_some();
        self.template = template;
        if !added {
            self.kind.truncate(self.begin);
            self.number.truncate(self.begin);
            self.rows.clear();
        }
        added
    }

    /// The values of these columns.
    fn known_columns(&mut self, message: &[u8], template: &FeatureTemplate) -> Option<()> {
        let mut reader = Reader::new(message);
        for run in template.runs() {
            if let Some(values) = run.read(reader.rest()).filter(|values| values.len() <= self.room()) {
                self.doubles(values);
                self.rows.resize(self.rows.len() + run.columns.len(), 1);
                reader.pass(run.length());
                continue;
            }
            for place in run.columns.clone() {
                let before = self.kind.len();
                self.known_column(&mut reader, template, place, run.doubles)?;
                self.rows.push((self.kind.len() - before) as u32);
            }
        }
        next_pair(&mut reader).is_none().then_some(())
    }

    /// The values of one column of the template's. `double`: it had one in the last event.
    #[inline(always)]
    fn known_column(
        &mut self,
        reader: &mut Reader<'_>,
        template: &FeatureTemplate,
        place: usize,
        double: bool,
    ) -> Option<()> {
        if self.room() == 0 {
            return None;
        }
        if double {
            if let Some(bits) = reader.fixed64_behind(template.head(place)) {
                self.double(f64::from_bits(bits));
                return Some(());
            }
        }
        let pair = next_pair(reader)?;
        if let Some((kind, number)) = self.pairs.find(place, pair) {
            self.kind.push(kind);
            self.number.push(number);
            return Some(());
        }
        self.read_column(pair, template.key(place), place)
    }

    /// The values of a column, in this place, which has this key.
    #[inline(never)]
    fn read_column(&mut self, pair: &[u8], key: &[u8], place: usize) -> Option<()> {
        let (found, array) = usual_column(pair)?;
        let begin = self.kind.len();
        self.plain_values((found == key).then_some(array)?)?;
        if let (&[kind], &[number]) = (&self.kind[begin..], &self.number[begin..]) {
            if kind != NUMBER {
                self.pairs.keep(place, pair, kind, number);
            }
        }
        Some(())
    }

    /// The columns of an event with any keys; how many were left out.
    fn add_named(&mut self, message: &[u8]) -> u32 {
        let mut left = 0;
        self.template.clear();
        self.pairs.forget();
        self.columns.clear();
        for (name, pair) in label::first_of_each_key(message) {
            let name = cut(&name, MAX_FEATURE_CHARS);
            if self.columns.len() < MAX_FEATURES {
                let number = self.names.get_or_insert_with(Interner::new).intern(name.as_bytes()).0;
                if self.column(pair.value) {
                    self.columns.push(number);
                    self.template.push(&pair);
                    continue;
                }
            }
            left += 1;
            self.leave_out(name);
        }
        if left > 0 || self.columns.len() != elements(message).count() {
            // Not all of them became columns: the next event has to be looked at as closely.
            self.template.clear();
        }
        left
    }

    fn leave_out(&mut self, name: &str) {
        if self.left_out_names.len() < MAX_LEFT_OUT_NAMES && self.left_out_names.iter().all(|known| known != name) {
            self.left_out_names.push(name.to_owned());
        }
    }

    /// False where there is no room for the column.
    fn column(&mut self, value: Any<'_>) -> bool {
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
        self.rows.push((self.kind.len() - begin) as u32);
        true
    }

    /// How many values the event at hand may still have.
    fn room(&self) -> usize {
        self.begin + MAX_FEATURE_VALUES - self.kind.len()
    }

    /// The values of an array that is written as nearly all are, and for which there is room; None where it is not: what
    /// was added is to be taken back.
    #[inline(always)]
    fn plain_values(&mut self, array: &[u8]) -> Option<()> {
        if array.len() > self.room() * LEAST_ELEMENT {
            return None;
        }
        match plain_doubles(array) {
            Some(values) => {
                self.doubles(values);
                Some(())
            }
            None => plain_elements(array, |value| self.push(value)),
        }
    }

    #[inline(always)]
    fn doubles(&mut self, values: impl ExactSizeIterator<Item = f64>) {
        let begin = self.number.len();
        self.number.extend(values);
        self.kind.resize(self.number.len(), NUMBER);
        let own = &mut self.number[begin..];
        if own.iter().fold(false, |nan, value| nan | value.is_nan()) {
            for (kind, value) in self.kind[begin..].iter_mut().zip(own).filter(|(_, value)| value.is_nan()) {
                (*kind, *value) = (MISSING, 0.0);
            }
        }
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
            Any::Text(text) => (TEXT, f64::from(self.texts.get_or_insert_with(TextTable::new).number(text))),
            Any::Empty => (MISSING, 0.0),
            _ => (OTHER, 0.0),
        };
        self.kind.push(kind);
        self.number.push(number);
    }
}

impl Limits<'_> {
    fn of(&self, place: usize) -> Option<(f64, f64)> {
        Some((*self.least.get(place)?, *self.greatest.get(place)?))
    }
}

/// Whether one of the values of so many rows is beyond the limits of its column, whatever it is.
#[inline(always)]
fn any_beyond(values: &[f64], limits: &[(f64, f64)], rows: usize) -> bool {
    if rows == 1 {
        return values
            .iter()
            .zip(limits)
            .fold(false, |any, (value, (least, greatest))| any | (value < least) | (value > greatest));
    }
    values.chunks_exact(rows).zip(limits).fold(false, |any, (column, (least, greatest))| {
        any | column.iter().fold(false, |any, value| any | (value < least) | (value > greatest))
    })
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
