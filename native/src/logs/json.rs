//! JSON as loggers write it: UTF-8 text in, a tree that borrows from it out. Strict but for single values that would
//! cost a line its structure: NaN and the infinities, control characters and unknown escapes in a string, surrogates.

use std::borrow::Cow;
use std::collections::hash_map::{Entry, HashMap};
use std::iter::once;

use crate::documents::text::{signature, unescaped_length};
use crate::otlp::limits::MAX_DEPTH;

/// A parser's stack is bounded too. Far above `MAX_DEPTH`: a value that deep only counts where it is not replaced by a
/// later member of the same name.
const MAX_NESTING: u32 = 512;
/// Above this many members the search for duplicate keys goes through a hash table.
const FEW: usize = 32;

/// Longer ones before those that they begin with.
const NOT_NUMBERS: [(&str, f64); 8] = [
    ("NaN", f64::NAN),
    ("nan", f64::NAN),
    ("NAN", f64::NAN),
    ("Infinity", f64::INFINITY),
    ("INFINITY", f64::INFINITY),
    ("Inf", f64::INFINITY),
    ("inf", f64::INFINITY),
    ("INF", f64::INFINITY),
];

#[derive(Debug)]
pub enum Json<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    Object(Box<Object<'a>>),
    /// Was understood, and is no attribute any more.
    Taken,
}

/// The keys of an object as they were written. The next one of the same program mostly has them in the same order, and
/// then none has to be looked for among those before.
#[derive(Debug, Default)]
pub struct KeyOrder<'a> {
    keys: Vec<WrittenKey<'a>>,
    /// The object that was read last has these keys and no others.
    pub whole: bool,
    /// The order is the one for which somebody has set this.
    pub known: bool,
}

#[derive(Debug)]
struct WrittenKey<'a> {
    /// Up to the value, `"key": `.
    written: &'a [u8],
    length: usize,
    /// Signatures of this key and of those before.
    seen: u64,
}

impl WrittenKey<'_> {
    /// Whether `bytes` begin with it. Most are of 8 to 16 bytes, for which two comparisons are quicker than a call.
    #[inline(always)]
    fn begins(&self, bytes: &[u8]) -> bool {
        let Some(begin) = bytes.get(..self.written.len()) else { return false };
        if !(8..=16).contains(&begin.len()) {
            return begin == self.written;
        }
        begin.first_chunk::<8>() == self.written.first_chunk::<8>()
            && begin.last_chunk::<8>() == self.written.last_chunk::<8>()
    }
}

impl KeyOrder<'_> {
    fn forget_from(&mut self, place: usize) {
        if place < self.keys.len() {
            self.keys.truncate(place);
            self.known = false;
        }
    }
}

/// Members in order of the first appearance of their keys; of a duplicate key the last value counts.
#[derive(Debug, Default)]
pub struct Object<'a> {
    pub members: Vec<(Cow<'a, str>, Json<'a>)>,
    /// There may be a list or an object among the values.
    pub nested: bool,
    seen: u64,
    places: Option<HashMap<Cow<'a, str>, usize>>,
}

impl<'a> Object<'a> {
    pub fn clear(&mut self) {
        self.members.clear();
        self.nested = false;
        self.seen = 0;
        self.places = None;
    }

    #[inline(never)]
    pub fn insert(&mut self, key: Cow<'a, str>, value: Json<'a>) {
        self.nested |= value.is_nested();
        let place = if self.members.len() < FEW { self.find(&key) } else { self.look_up(key.clone()) };
        match place {
            Some(place) => self.members[place].1 = value,
            None => self.members.push((key, value)),
        }
    }

    /// A text under a new key, both free of escapes: nearly every member, and in registers until it has its place.
    #[inline(always)]
    fn push_plain(&mut self, key: &'a str, text: &'a str) {
        // Made where it belongs, once there is room; what is pushed is made on the stack and copied from there.
        self.members.extend(once(()).map(|()| (Cow::Borrowed(key), Json::Text(Cow::Borrowed(text)))));
    }

    /// The place of a key among few.
    #[inline(always)]
    fn find(&mut self, key: &str) -> Option<usize> {
        let bit = signature(key.as_bytes());
        let perhaps = self.seen & bit != 0;
        self.seen |= bit;
        if perhaps {
            self.members.iter().position(|(other, _)| other == key)
        } else {
            None
        }
    }

    /// The place of a key among many; a new key gets the next place.
    fn look_up(&mut self, key: Cow<'a, str>) -> Option<usize> {
        let members = &self.members;
        let known = || members.iter().enumerate().map(|(place, (key, _))| (key.clone(), place)).collect();
        let places = self.places.get_or_insert_with(known);
        match places.entry(key) {
            Entry::Occupied(entry) => Some(*entry.get()),
            Entry::Vacant(entry) => {
                entry.insert(members.len());
                None
            }
        }
    }
}

impl Json<'_> {
    #[inline(always)]
    fn is_nested(&self) -> bool {
        matches!(self, Json::List(_) | Json::Object(_))
    }

    /// Whether the value is within the depth limit (a scalar has depth 1).
    pub fn is_keepable(&self) -> bool {
        self.keepable_at(1)
    }

    fn keepable_at(&self, depth: u32) -> bool {
        if depth > MAX_DEPTH {
            return false;
        }
        match self {
            Json::List(elements) => elements.iter().all(|element| element.keepable_at(depth + 1)),
            Json::Object(object) => object.members.iter().all(|(_, value)| value.keepable_at(depth + 1)),
            _ => true,
        }
    }
}

/// Reads the object that `text` begins with, into `object`; what is behind it, or None if there is no object. `order`: that
/// of the object before, and then of this one.
pub fn read_object<'a>(text: &'a str, object: &mut Object<'a>, order: &mut KeyOrder<'a>) -> Option<&'a str> {
    let mut parser = Parser { text, bytes: text.as_bytes(), at: 0 };
    object.clear();
    parser.blanks();
    parser.take(b'{')?;
    parser.ordered_members(object, order)?;
    parser.blanks();
    text.get(parser.at..)
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline(always)]
    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    #[inline(always)]
    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Option<Json<'a>> {
        self.bytes[self.at..].starts_with(word.as_bytes()).then(|| {
            self.at += word.len();
            value
        })
    }

    fn value(&mut self, depth: u32) -> Option<Json<'a>> {
        match self.peek()? {
            b'"' => self.string().map(Json::Text),
            b'{' if depth < MAX_NESTING => {
                self.at += 1;
                let mut object = Box::<Object<'a>>::default();
                self.members(&mut object, depth + 1)?;
                Some(Json::Object(object))
            }
            b'[' if depth < MAX_NESTING => self.list(depth + 1),
            b't' => self.word("true", Json::Bool(true)),
            b'f' => self.word("false", Json::Bool(false)),
            b'n' if self.bytes.get(self.at + 1) == Some(&b'u') => self.word("null", Json::Null),
            b'-' | b'0'..=b'9' => self.number(),
            _ => self.not_a_number(),
        }
    }

    /// NaN and the infinities as Python, JavaScript, C and Go write them.
    #[inline(never)]
    fn not_a_number(&mut self) -> Option<Json<'a>> {
        let negative = self.take(b'-').is_some();
        if !negative {
            let _ = self.take(b'+');
        }
        let (word, value) = NOT_NUMBERS.iter().find(|(word, _)| self.bytes[self.at..].starts_with(word.as_bytes()))?;
        self.at += word.len();
        Some(Json::Double(if negative && !value.is_nan() { -value } else { *value }))
    }

    /// The members behind the opening brace of an object that is in no other.
    fn ordered_members(&mut self, object: &mut Object<'a>, order: &mut KeyOrder<'a>) -> Option<()> {
        order.whole = false;
        self.blanks();
        if self.take(b'}').is_some() {
            return Some(());
        }
        let mut place = 0;
        loop {
            match order.keys.get(place) {
                Some(key) if key.begins(&self.bytes[self.at..]) => self.known_member(object, key)?,
                _ => {
                    order.forget_from(place);
                    self.new_member(object, order)?;
                }
            }
            place += 1;
            if !self.next_member()? {
                order.whole = order.keys.len() == place;
                return Some(());
            }
        }
    }

    /// A member whose key is the next one of the order.
    #[inline(always)]
    fn known_member(&mut self, object: &mut Object<'a>, known: &WrittenKey<'a>) -> Option<()> {
        let key = self.text.get(self.at + 1..self.at + 1 + known.length)?;
        self.at += known.written.len();
        self.blanks();
        let start = self.at;
        object.seen = known.seen;
        match self.plain_string() {
            Some(text) => object.push_plain(key, text),
            None => {
                self.at = start;
                let value = self.value(1)?;
                object.nested |= value.is_nested();
                object.members.push((Cow::Borrowed(key), value));
            }
        }
        Some(())
    }

    /// A member behind those of the order, which it is added to if all members so far are in it.
    #[inline(never)]
    fn new_member(&mut self, object: &mut Object<'a>, order: &mut KeyOrder<'a>) -> Option<()> {
        let (begin, before) = (self.at, object.members.len());
        let key = self.string()?;
        let plain = matches!(key, Cow::Borrowed(_)).then_some(key.len());
        self.blanks();
        self.take(b':')?;
        self.blanks();
        let written = &self.bytes[begin..self.at];
        let value = self.value(1)?;
        object.insert(key, value);
        let is_next = order.keys.len() == before && object.members.len() == before + 1;
        if let Some(length) = plain.filter(|_| is_next && before < FEW) {
            order.keys.push(WrittenKey { written, length, seen: object.seen });
            order.known = false;
        }
        Some(())
    }

    /// The members behind an opening brace.
    fn members(&mut self, object: &mut Object<'a>, depth: u32) -> Option<()> {
        self.blanks();
        if self.take(b'}').is_some() {
            return Some(());
        }
        loop {
            let key = self.string()?;
            self.blanks();
            self.take(b':')?;
            self.blanks();
            let value = self.value(depth)?;
            object.insert(key, value);
            if !self.next_member()? {
                return Some(());
            }
        }
    }

    /// Past what stands between two members; false at the object's end.
    #[inline(always)]
    fn next_member(&mut self) -> Option<bool> {
        self.blanks();
        if self.take(b'}').is_some() {
            return Some(false);
        }
        self.take(b',')?;
        self.blanks();
        Some(true)
    }

    /// A string without escapes.
    #[inline(always)]
    fn plain_string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let start = self.at;
        self.skip_plain();
        let end = self.at;
        self.take(b'"')?;
        self.text.get(start..end)
    }

    fn list(&mut self, depth: u32) -> Option<Json<'a>> {
        self.at += 1;
        let mut elements = Vec::new();
        self.blanks();
        if self.take(b']').is_some() {
            return Some(Json::List(elements));
        }
        loop {
            elements.push(self.value(depth)?);
            self.blanks();
            if self.take(b']').is_some() {
                return Some(Json::List(elements));
            }
            self.take(b',')?;
            self.blanks();
        }
    }

    #[inline(always)]
    fn string(&mut self) -> Option<Cow<'a, str>> {
        self.take(b'"')?;
        let start = self.at;
        self.skip_plain();
        if self.peek()? == b'"' {
            let text = &self.text[start..self.at];
            self.at += 1;
            return Some(Cow::Borrowed(text));
        }
        self.escaped_string(start)
    }

    /// Up to the next quote or backslash. Control characters stand for themselves.
    #[inline(always)]
    fn skip_plain(&mut self) {
        self.at += unescaped_length(&self.bytes[self.at..]);
    }

    /// A string with escapes.
    #[inline(never)]
    fn escaped_string(&mut self, start: usize) -> Option<Cow<'a, str>> {
        let mut text = String::new();
        let mut from = start;
        loop {
            text.push_str(&self.text[from..self.at]);
            let is_end = self.peek()? == b'"';
            self.at += 1;
            if is_end {
                return Some(Cow::Owned(text));
            }
            text.push(self.escape()?);
            from = self.at;
            self.skip_plain();
        }
    }

    /// The character behind a backslash. One that begins no escape (`\x22` and `\U`, of templates filled in by hand) stands
    /// for itself, and what is behind it is not read.
    fn escape(&mut self) -> Option<char> {
        let character = match self.peek()? {
            letter @ (b'"' | b'\\' | b'/') => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return Some(self.unicode_escape()),
            _ => return Some('\\'),
        };
        self.at += 1;
        Some(character)
    }

    /// The character of `uXXXX`, or of two that are a pair; U+FFFD for a lone surrogate.
    fn unicode_escape(&mut self) -> char {
        let Some(unit) = self.hex_unit(self.at) else { return '\\' };
        self.at += 5;
        if !(0xd800..0xdc00).contains(&unit) {
            return char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
        }
        let low = (self.peek() == Some(b'\\')).then(|| self.hex_unit(self.at + 1)).flatten();
        match low.filter(|low| (0xdc00..0xe000).contains(low)) {
            Some(low) => {
                self.at += 6;
                char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)).unwrap_or_default()
            }
            None => char::REPLACEMENT_CHARACTER,
        }
    }

    /// The number of `uXXXX` at `place`.
    fn hex_unit(&self, place: usize) -> Option<u32> {
        let [b'u', digits @ ..] = self.bytes.get(place..place + 5)? else { return None };
        digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    /// An integer where it fits 64 bits, else a double, infinite beyond a double's range; minus zero is a double.
    #[inline(never)]
    fn number(&mut self) -> Option<Json<'a>> {
        let start = self.at;
        let negative = self.take(b'-').is_some();
        if negative && !self.peek()?.is_ascii_digit() {
            self.at = start;
            return self.not_a_number();
        }
        if self.take(b'0').is_none() {
            self.digits()?;
        }
        let mut integral = true;
        if self.peek() == Some(b'.') {
            integral = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            integral = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        if integral {
            match text.parse::<i64>() {
                Ok(0) if negative => return Some(Json::Double(-0.0)),
                Ok(int) => return Some(Json::Int(int)),
                Err(_) => {}
            }
        }
        text.parse::<f64>().ok().map(Json::Double)
    }
}
