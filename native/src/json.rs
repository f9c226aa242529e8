//! Strict JSON, as far as a log line needs it: UTF-8 text in, a tree that borrows from it out.

use std::borrow::Cow;
use std::collections::hash_map::{Entry, HashMap};
use std::iter::once;

use crate::limits::MAX_DEPTH;
use crate::text::{plain_length, signature};

/// A parser's stack is bounded too. Far above `MAX_DEPTH`: a value that deep only counts where it is not replaced by a
/// later member of the same name.
const MAX_NESTING: u32 = 512;
/// Above this many members the search for duplicate keys goes through a hash table.
const FEW: usize = 32;

#[derive(Debug)]
pub enum Json<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    Object(Box<Object<'a>>),
    /// Text with a lone surrogate, or an object with such a key: no UTF-8 can hold it.
    Unwritable,
}

/// Members in order of the first appearance of their keys; of a duplicate key the last value counts.
#[derive(Debug, Default)]
pub struct Object<'a> {
    pub members: Vec<(Cow<'a, str>, Json<'a>)>,
    seen: u64,
    places: Option<HashMap<Cow<'a, str>, usize>>,
}

impl<'a> Object<'a> {
    pub fn clear(&mut self) {
        self.members.clear();
        self.seen = 0;
        self.places = None;
    }

    #[inline(never)]
    pub fn insert(&mut self, key: Cow<'a, str>, value: Json<'a>) {
        let place = if self.members.len() < FEW { self.find(&key) } else { self.look_up(key.clone()) };
        match place {
            Some(place) => self.members[place].1 = value,
            None => self.members.push((key, value)),
        }
    }

    /// `insert` of a text, key and text free of escapes: nearly every member, and in registers until it has its place.
    #[inline(always)]
    fn insert_plain(&mut self, key: &'a str, text: &'a str) {
        if self.members.len() < FEW && self.find(key).is_none() {
            // Made where it belongs, once there is room; what is pushed is made on the stack and copied from there.
            self.members.extend(once(()).map(|()| (Cow::Borrowed(key), Json::Text(Cow::Borrowed(text)))));
        } else {
            self.insert(Cow::Borrowed(key), Json::Text(Cow::Borrowed(text)));
        }
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
    /// Whether the value can be kept: within the depth limit (a scalar has depth 1) and writable.
    pub fn is_keepable(&self) -> bool {
        self.keepable_at(1)
    }

    fn keepable_at(&self, depth: u32) -> bool {
        if depth > MAX_DEPTH {
            return false;
        }
        match self {
            Json::Unwritable => false,
            Json::List(elements) => elements.iter().all(|element| element.keepable_at(depth + 1)),
            Json::Object(object) => object.members.iter().all(|(_, value)| value.keepable_at(depth + 1)),
            _ => true,
        }
    }
}

/// Reads the object that the whole of `text` is, into `object`; None if it is not one, or not strict JSON.
pub fn read_object<'a>(text: &'a str, object: &mut Object<'a>) -> Option<()> {
    let mut parser = Parser { text, bytes: text.as_bytes(), at: 0 };
    object.clear();
    parser.blanks();
    parser.take(b'{')?;
    let writable = parser.members(object, 1)?;
    parser.blanks();
    (writable && parser.at == text.len()).then_some(())
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
            b'"' => Some(self.string()?.map_or(Json::Unwritable, Json::Text)),
            b'{' if depth < MAX_NESTING => {
                self.at += 1;
                let mut object = Box::<Object<'a>>::default();
                let writable = self.members(&mut object, depth + 1)?;
                Some(if writable { Json::Object(object) } else { Json::Unwritable })
            }
            b'[' if depth < MAX_NESTING => self.list(depth + 1),
            b't' => self.word("true", Json::Bool(true)),
            b'f' => self.word("false", Json::Bool(false)),
            b'n' => self.word("null", Json::Null),
            b'-' | b'0'..=b'9' => self.number(),
            _ => None,
        }
    }

    /// The members behind an opening brace; false if a key is not writable.
    fn members(&mut self, object: &mut Object<'a>, depth: u32) -> Option<bool> {
        let mut writable = true;
        self.blanks();
        if self.take(b'}').is_some() {
            return Some(true);
        }
        loop {
            if let Some((key, text)) = self.plain_member() {
                object.insert_plain(key, text);
                if self.next_member()? {
                    continue;
                }
                return Some(writable);
            }
            let key = self.string()?;
            self.blanks();
            self.take(b':')?;
            self.blanks();
            let value = self.value(depth)?;
            match key {
                Some(key) => object.insert(key, value),
                None => writable = false,
            }
            if !self.next_member()? {
                return Some(writable);
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

    /// A key and a text, both free of escapes; reads nothing where the member is of another kind or broken.
    #[inline(always)]
    fn plain_member(&mut self) -> Option<(&'a str, &'a str)> {
        let start = self.at;
        let member = self.try_plain_member();
        if member.is_none() {
            self.at = start;
        }
        member
    }

    #[inline(always)]
    fn try_plain_member(&mut self) -> Option<(&'a str, &'a str)> {
        let key = self.plain_string()?;
        self.blanks();
        self.take(b':')?;
        self.blanks();
        Some((key, self.plain_string()?))
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

    /// A string; Some(None) if it is well-formed but not writable.
    #[inline(always)]
    fn string(&mut self) -> Option<Option<Cow<'a, str>>> {
        self.take(b'"')?;
        let start = self.at;
        self.skip_plain();
        if self.peek()? == b'"' {
            let text = &self.text[start..self.at];
            self.at += 1;
            return Some(Some(Cow::Borrowed(text)));
        }
        self.escaped_string(start)
    }

    /// Up to the next quote, backslash or control character.
    #[inline(always)]
    fn skip_plain(&mut self) {
        self.at += plain_length(&self.bytes[self.at..]);
    }

    #[inline(never)]
    fn escaped_string(&mut self, start: usize) -> Option<Option<Cow<'a, str>>> {
        let mut text = String::new();
        let mut writable = true;
        let mut from = start;
        loop {
            text.push_str(&self.text[from..self.at]);
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(writable.then_some(Cow::Owned(text)));
                }
                b'\\' => {
                    self.at += 1;
                    match self.escape()? {
                        Some(character) => text.push(character),
                        None => writable = false,
                    }
                }
                _ => return None,
            }
            from = self.at;
            self.skip_plain();
        }
    }

    /// The character behind a backslash; Some(None) for a lone surrogate.
    fn escape(&mut self) -> Option<Option<char>> {
        let letter = self.peek()?;
        self.at += 1;
        Some(Some(match letter {
            b'"' | b'\\' | b'/' => letter as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return None,
        }))
    }

    fn unicode_escape(&mut self) -> Option<Option<char>> {
        let unit = self.hex_unit()?;
        if !(0xd800..0xdc00).contains(&unit) {
            return Some(char::from_u32(unit));
        }
        let after = self.at;
        if self.take(b'\\').is_some() && self.take(b'u').is_some() {
            let low = self.hex_unit()?;
            if (0xdc00..0xe000).contains(&low) {
                return Some(char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)));
            }
        }
        self.at = after;
        Some(None)
    }

    fn hex_unit(&mut self) -> Option<u32> {
        let digits = self.bytes.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | (digit as char).to_digit(16)?))
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    /// An integer where it fits 64 bits, else a double; minus zero is a double.
    #[inline(never)]
    fn number(&mut self) -> Option<Json<'a>> {
        let start = self.at;
        let negative = self.take(b'-').is_some();
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
        text.parse::<f64>().ok().filter(|double| double.is_finite()).map(Json::Double)
    }
}
