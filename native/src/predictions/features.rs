//! The feature columns of events: numbers, and texts by their place in a table.

use crate::documents::text::{cut, repair};
use crate::otlp::intern::{parts, push_part, Interner};
use crate::otlp::label;
use crate::otlp::limits::{MAX_FEATURES, MAX_FEATURE_CHARS, MAX_FEATURE_VALUES, MAX_LEFT_OUT_NAMES};
use crate::otlp::value::{elements, push_pairs, Any, Attribute};

const MISSING: u8 = 0;
const NUMBER: u8 = 1;
const TEXT: u8 = 2;
const BOOL: u8 = 3;
/// An array, a map or bytes.
const OTHER: u8 = 4;
/// All of them by name.
pub const KINDS: &[(&str, u8)] =
    &[("MISSING", MISSING), ("NUMBER", NUMBER), ("TEXT", TEXT), ("BOOL", BOOL), ("OTHER", OTHER)];

/// Length of an element with a double, as nearly all are written, and where the double begins.
const DOUBLE_LENGTH: usize = 11;
const DOUBLE_BEGIN: usize = 3;

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
    numbers: Vec<u32>,
}

impl Features {
    pub fn names(&self) -> Vec<&str> {
        texts_of(self.names.as_ref())
    }

    pub fn texts(&self) -> Vec<&str> {
        texts_of(self.texts.as_ref())
    }

    /// The columns of one event. `before`: columns that the sender left out.
    pub fn add(&mut self, event: u32, features: Option<Any<'_>>, before: u64) {
        let mut left = u32::try_from(before).unwrap_or(u32::MAX);
        self.begin = self.kind.len();
        if let Some(Any::Map(message)) = features {
            let mut pairs = Vec::with_capacity(self.numbers.len());
            push_pairs(message, &mut pairs);
            if !self.same_keys(&pairs) || !self.add_known(event, &pairs) {
                left = left.saturating_add(self.add_named(event, message, &pairs));
            }
        }
        self.left_out.push(left);
    }

    /// Whether these are the keys of the last event.
    fn same_keys(&self, pairs: &[Attribute<'_>]) -> bool {
        let mut known = parts(&self.keys);
        pairs.len() == self.numbers.len() && pairs.iter().all(|pair| known.next() == Some(pair.key))
    }

    /// The columns of an event with the keys of the last one; false, and nothing added, where there is no room for all.
    fn add_known(&mut self, event: u32, pairs: &[Attribute<'_>]) -> bool {
        let columns = self.event.len();
        for (at, pair) in pairs.iter().enumerate() {
            if !self.column(event, self.numbers[at], pair.value) {
                self.kind.truncate(self.begin);
                self.number.truncate(self.begin);
                self.event.truncate(columns);
                self.name.truncate(columns);
                self.ends.truncate(columns);
                return false;
            }
        }
        true
    }

    /// The columns of an event with any keys; how many were left out.
    fn add_named(&mut self, event: u32, message: &[u8], pairs: &[Attribute<'_>]) -> u32 {
        let mut left = 0;
        self.keys.clear();
        self.numbers.clear();
        let mut columns = 0;
        for (name, pair) in label::first_of_each_key(message) {
            let name = cut(&name, MAX_FEATURE_CHARS);
            if columns < MAX_FEATURES {
                let number = self.names.get_or_insert_with(Interner::new).intern(name.as_bytes()).0;
                if self.column(event, number, pair.value) {
                    columns += 1;
                    self.numbers.push(number);
                    push_part(&mut self.keys, pair.key);
                    continue;
                }
            }
            left += 1;
            self.leave_out(name);
        }
        if left > 0 || columns != pairs.len() {
            // Not all of them became columns: the next event has to be looked at as closely.
            self.keys.clear();
            self.numbers.clear();
        }
        left
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
            Any::Array(message) => {
                if !self.doubles(message) {
                    for element in elements(message) {
                        self.push(element);
                        if self.kind.len() > most {
                            break;
                        }
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

    /// Whether the array has doubles only, each as nearly all are written; they are added then.
    fn doubles(&mut self, message: &[u8]) -> bool {
        let elements = message.chunks_exact(DOUBLE_LENGTH);
        let usual = [0x0a, 0x09, 0x21];
        if !elements.remainder().is_empty() || !elements.clone().all(|one| one[..DOUBLE_BEGIN] == usual) {
            return false;
        }
        for one in elements {
            let bits = one[DOUBLE_BEGIN..].try_into().unwrap_or_default();
            self.double(f64::from_bits(u64::from_le_bytes(bits)));
        }
        true
    }

    fn double(&mut self, double: f64) {
        self.kind.push(if double.is_nan() { MISSING } else { NUMBER });
        self.number.push(if double.is_nan() { 0.0 } else { double });
    }

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
        let text = repair(bytes);
        let key = cut(&text, MAX_FEATURE_CHARS).as_bytes();
        f64::from(self.texts.get_or_insert_with(Interner::new).intern(key).0)
    }
}

fn texts_of(table: Option<&Interner>) -> Vec<&str> {
    let Some(table) = table else { return Vec::new() };
    (0..table.len()).map(|row| std::str::from_utf8(table.get(row)).unwrap_or_default()).collect()
}
