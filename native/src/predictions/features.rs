//! The feature columns of events: numbers, and texts by their place in a table.

use crate::documents::text::{cut, repair};
use crate::otlp::intern::Interner;
use crate::otlp::label;
use crate::otlp::limits::{MAX_FEATURES, MAX_FEATURE_CHARS, MAX_FEATURE_TEXTS, MAX_FEATURE_VALUES, MAX_LEFT_OUT_NAMES};
use crate::otlp::value::{elements, Any};

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
        let mut columns = 0;
        if let Some(Any::Map(message)) = features {
            for (name, pair) in label::first_of_each_key(message) {
                let name = cut(&name, MAX_FEATURE_CHARS);
                if columns == MAX_FEATURES || !self.column(event, name, pair.value) {
                    left = left.saturating_add(1);
                    self.leave_out(name);
                    continue;
                }
                columns += 1;
            }
        }
        self.left_out.push(left);
    }

    fn leave_out(&mut self, name: &str) {
        if self.left_out_names.len() < MAX_LEFT_OUT_NAMES && self.left_out_names.iter().all(|known| known != name) {
            self.left_out_names.push(name.to_owned());
        }
    }

    /// False where there is no room for the column.
    fn column(&mut self, event: u32, name: &str, value: Any<'_>) -> bool {
        let begin = self.kind.len();
        match value {
            Any::Array(message) => {
                if !self.doubles(message) {
                    for element in elements(message) {
                        self.push(element);
                        if self.kind.len() > MAX_FEATURE_VALUES {
                            break;
                        }
                    }
                }
            }
            one => self.push(one),
        }
        if self.kind.len() > MAX_FEATURE_VALUES {
            self.kind.truncate(begin);
            self.number.truncate(begin);
            return false;
        }
        let number = self.names.get_or_insert_with(Interner::new).intern(name.as_bytes()).0;
        self.event.push(event);
        self.name.push(number);
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

    /// Place in the table of texts; -1 where that is full.
    fn text(&mut self, bytes: &[u8]) -> f64 {
        let text = repair(bytes);
        let texts = self.texts.get_or_insert_with(Interner::new);
        let key = cut(&text, MAX_FEATURE_CHARS).as_bytes();
        if texts.len() < MAX_FEATURE_TEXTS {
            return f64::from(texts.intern(key).0);
        }
        texts.find(key).map_or(-1.0, f64::from)
    }
}

fn texts_of(table: Option<&Interner>) -> Vec<&str> {
    let Some(table) = table else { return Vec::new() };
    (0..table.len()).map(|row| std::str::from_utf8(table.get(row)).unwrap_or_default()).collect()
}
