//! AnyValue and KeyValue, read without copying.

use crate::otlp::limits::MAX_DEPTH;
use crate::otlp::tags::{any_value, array_value, key_byte, key_value, key_value_list};
use crate::otlp::wire::Wire::{Fixed64, Len, Varint};
use crate::otlp::wire::{Broken, Fields, Reader, Value};

const KEY: u8 = key_byte(key_value::KEY, Len);
const VALUE: u8 = key_byte(key_value::VALUE, Len);
const STRING: u8 = key_byte(any_value::STRING_VALUE, Len);
const INT: u8 = key_byte(any_value::INT_VALUE, Varint);
const DOUBLE: u8 = key_byte(any_value::DOUBLE_VALUE, Fixed64);
const BOOL: u8 = key_byte(any_value::BOOL_VALUE, Varint);
const ARRAY: u8 = key_byte(any_value::ARRAY_VALUE, Len);
const PAIR: u8 = key_byte(key_value_list::VALUES, Len);
const ELEMENT: u8 = key_byte(array_value::VALUES, Len);
/// What stands between the key of a column of one double and the double.
const ONE_DOUBLE: [u8; 7] = [VALUE, 13, ARRAY, 11, ELEMENT, 9, DOUBLE];

/// An attribute value as it stands in the payload. Arrays and maps keep their message bytes.
#[derive(Clone, Copy, Debug)]
pub enum Any<'a> {
    Empty,
    Text(&'a [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    Array(&'a [u8]),
    Map(&'a [u8]),
    Bytes(&'a [u8]),
}

#[derive(Clone, Copy, Debug)]
pub struct Attribute<'a> {
    pub key: &'a [u8],
    pub value: Any<'a>,
}

impl Attribute<'_> {
    const NOTHING: Self = Attribute { key: b"", value: Any::Empty };
}

/// Equality of bytes that are often empty, or names. For most names two comparisons are enough, and quicker than a call; to
/// compare nothing by a call of libc takes long (`perf`; why is not known).
#[inline(always)]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match (a.first_chunk::<8>(), a.last_chunk::<8>(), b.first_chunk::<8>(), b.last_chunk::<8>()) {
        (Some(first), Some(last), Some(other_first), Some(other_last)) => {
            first == other_first && last == other_last && (a.len() <= 16 || a == b)
        }
        _ => a.is_empty() || a == b,
    }
}

/// What is to be said of a value and all that is nested in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Notes {
    /// Nested deeper than the limit.
    pub too_deep: bool,
    /// Something that may stand once stands more often.
    pub repeated: bool,
}

impl Notes {
    #[inline(always)]
    pub fn add(&mut self, other: Notes) {
        self.too_deep |= other.too_deep;
        self.repeated |= other.repeated;
    }
}

/// A value, with everything nested in it walked. `depth` is that of the value
/// itself, 1 outside of arrays and maps. Nothing below the limit is read.
#[inline(always)]
pub fn any(message: &[u8], depth: u32) -> Result<(Any<'_>, Notes), Broken> {
    if depth > MAX_DEPTH {
        return Ok((Any::Empty, Notes { too_deep: true, repeated: false }));
    }
    let mut value = Any::Empty;
    let mut notes = Notes::default();
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next()? {
        if let Some(last) = variant(number, field) {
            notes.repeated |= !matches!(value, Any::Empty);
            value = last;
            match last {
                Any::Array(message) => notes.add(walk_array(message, depth)?),
                Any::Map(message) => notes.add(walk_map(message, depth)?),
                _ => {}
            }
        }
    }
    Ok((value, notes))
}

/// What a field of an AnyValue says its value is.
#[inline(always)]
fn variant<'a>(number: u32, field: Value<'a>) -> Option<Any<'a>> {
    Some(match (number, field) {
        (any_value::STRING_VALUE, Value::Bytes(text)) => Any::Text(text),
        (any_value::BOOL_VALUE, Value::Varint(bool)) => Any::Bool(bool != 0),
        (any_value::INT_VALUE, Value::Varint(int)) => Any::Int(int as i64),
        (any_value::DOUBLE_VALUE, Value::Fixed64(bits)) => Any::Double(f64::from_bits(bits)),
        (any_value::ARRAY_VALUE, Value::Bytes(message)) => Any::Array(message),
        (any_value::KVLIST_VALUE, Value::Bytes(message)) => Any::Map(message),
        (any_value::BYTES_VALUE, Value::Bytes(bytes)) => Any::Bytes(bytes),
        _ => return None,
    })
}

#[inline(never)]
fn walk_array(message: &[u8], depth: u32) -> Result<Notes, Broken> {
    let mut notes = Notes::default();
    if depth < MAX_DEPTH && are_plain(message) {
        return Ok(notes);
    }
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next()? {
        if let (array_value::VALUES, Value::Bytes(value)) = (number, field) {
            notes.add(any(value, depth + 1)?.1);
        }
    }
    Ok(notes)
}

/// Whether all elements of an ArrayValue are written as nearly all are: columns are most of what some records hold.
#[inline(always)]
fn are_plain(message: &[u8]) -> bool {
    plain_elements(message, |_| ()).is_some()
}

/// The elements of an ArrayValue, each text, number, bool or nothing, written as nearly all are; None where one is written in
/// another way. What goes to `found` before that is to be taken back.
#[inline(always)]
pub fn plain_elements<'a>(mut rest: &'a [u8], mut found: impl FnMut(Any<'a>)) -> Option<()> {
    while !rest.is_empty() {
        if let Some((&[ELEMENT, 9, DOUBLE, ref bits @ ..], after)) = rest.split_first_chunk::<11>() {
            found(Any::Double(f64::from_bits(u64::from_le_bytes(*bits))));
            rest = after;
            continue;
        }
        let [ELEMENT, length, after @ ..] = rest else { return None };
        let (value, after) = after.split_at_checked(usize::from(*length))?;
        match value {
            [] => found(Any::Empty),
            [kind, value @ ..] if *length < 0x80 => plain(*kind, value, &mut found)?,
            _ => return None,
        }
        rest = after;
    }
    Some(())
}

/// A value by the byte that says its kind and what stands behind it.
#[inline(always)]
fn plain<'a>(kind: u8, value: &'a [u8], found: impl FnOnce(Any<'a>)) -> Option<()> {
    match (kind, value) {
        (DOUBLE, bits) => {
            let bits = <[u8; 8]>::try_from(bits).ok()?;
            found(Any::Double(f64::from_bits(u64::from_le_bytes(bits))));
        }
        (STRING, [length, text @ ..]) if *length < 0x80 && usize::from(*length) == text.len() => {
            found(Any::Text(text));
        }
        (INT, [int]) if *int < 0x80 => found(Any::Int(i64::from(*int))),
        (INT, [low, high]) if *low >= 0x80 && *high < 0x80 => {
            found(Any::Int(i64::from(low & 0x7f) | i64::from(*high) << 7));
        }
        (BOOL, [bool]) if *bool < 0x80 => found(Any::Bool(*bool != 0)),
        _ => return None,
    }
    Some(())
}

/// A pair of a short key and an array, each length in one or two bytes: (key, message of the array). None if it is
/// written in another way.
#[inline(always)]
pub fn usual_column(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let [KEY, key_length, rest @ ..] = message else { return None };
    let (key, rest) = rest.split_at_checked(usize::from(*key_length))?;
    let [VALUE, rest @ ..] = rest else { return None };
    let [ARRAY, rest @ ..] = whole(rest)? else { return None };
    (*key_length < 0x80).then_some((key, whole(rest)?))
}

/// A pair of a short key and an array of one double, as most features of an event of one row are: (key, double). None if it is
/// another one, or written in another way.
#[inline(always)]
pub fn one_double(message: &[u8]) -> Option<(&[u8], f64)> {
    let [KEY, key_length, rest @ ..] = message else { return None };
    let (key, rest) = rest.split_at_checked(usize::from(*key_length))?;
    let (head, bits) = rest.split_first_chunk::<{ ONE_DOUBLE.len() }>()?;
    let bits = <[u8; 8]>::try_from(bits).ok()?;
    (*key_length < 0x80 && *head == ONE_DOUBLE).then(|| (key, f64::from_bits(u64::from_le_bytes(bits))))
}

/// What stands in a map in front of a double that is a column of its own, where its key is this one; a byte that stands nowhere
/// where the key is too long for `one_double`.
pub fn head_of_one_double(key: &[u8]) -> Vec<u8> {
    let length = 2 + key.len() + ONE_DOUBLE.len() + size_of::<u64>();
    if length >= 0x80 {
        return vec![0];
    }
    [&[PAIR, length as u8, KEY, key.len() as u8], key, &ONE_DOUBLE].concat()
}

/// Whether an ArrayValue is one double, written as nearly all are.
pub fn is_one_double(array: &[u8]) -> bool {
    matches!(array, [ELEMENT, 9, DOUBLE, bits @ ..] if bits.len() == size_of::<u64>())
}

/// The elements of an ArrayValue that are all doubles, written as nearly all are; None where one is not.
#[inline(always)]
pub fn plain_doubles(array: &[u8]) -> Option<impl ExactSizeIterator<Item = f64> + use<'_>> {
    let (elements, rest) = array.as_chunks::<11>();
    let other = elements
        .iter()
        .fold(0, |other, element| other | (element[0] ^ ELEMENT) | (element[1] ^ 9) | (element[2] ^ DOUBLE));
    let doubles = elements.iter().map(|&[_, _, _, ref bits @ ..]| f64::from_le_bytes(*bits));
    (other == 0 && rest.is_empty()).then_some(doubles)
}

/// What stands behind a length of one or two bytes, where it is as long as that.
#[inline(always)]
fn whole(message: &[u8]) -> Option<&[u8]> {
    match message {
        [length, rest @ ..] if *length < 0x80 && usize::from(*length) == rest.len() => Some(rest),
        [low, high, rest @ ..] if *low >= 0x80 && *high < 0x80 => {
            (usize::from(low & 0x7f) | usize::from(*high) << 7 == rest.len()).then_some(rest)
        }
        _ => None,
    }
}

#[inline(never)]
fn walk_map(message: &[u8], depth: u32) -> Result<Notes, Broken> {
    let mut notes = Notes::default();
    let deep = depth + 1 >= MAX_DEPTH;
    let mut reader = Reader::new(if deep { message } else { behind_plain_pairs(message) });
    while let Some((number, field)) = reader.next()? {
        if let (key_value_list::VALUES, Value::Bytes(pair)) = (number, field) {
            if deep || !is_plain_pair(pair) {
                notes.add(attribute(pair, depth + 1)?.1);
            }
        }
    }
    Ok(notes)
}

/// What follows the first pairs of a map of which there is nothing to be said.
#[inline(always)]
fn behind_plain_pairs(mut rest: &[u8]) -> &[u8] {
    while let [PAIR, length, after @ ..] = rest {
        let Some((pair, after)) = after.split_at_checked(usize::from(*length)) else { break };
        if *length >= 0x80 || !is_plain_pair(pair) {
            break;
        }
        rest = after;
    }
    rest
}

/// Whether there is nothing to be said of a pair: its value is a text, a number, a bool or an array of such, all written as
/// nearly all are.
#[inline(always)]
fn is_plain_pair(pair: &[u8]) -> bool {
    one_double(pair).is_some()
        || usual_pair(pair, |_, _| ()).is_some()
        || usual_column(pair).is_some_and(|(_, array)| are_plain(array))
}

/// A pair as nearly all are written: a short key, then a short value that is text, a number or a bool. None if it is written in
/// another way. The pair goes to `found` from where it is read, since values travel slowly through memory.
#[inline(always)]
pub fn usual_pair<'a>(message: &'a [u8], found: impl FnOnce(&'a [u8], Any<'a>)) -> Option<()> {
    let [KEY, key_length, rest @ ..] = message else { return None };
    let (key, rest) = rest.split_at_checked(usize::from(*key_length))?;
    let [VALUE, value_length, kind, rest @ ..] = rest else { return None };
    if (key_length | value_length) >= 0x80 || usize::from(*value_length) != rest.len() + 1 {
        return None;
    }
    plain(*kind, rest, |value| found(key, value))
}

/// A key with its value; `depth` is that of the value.
#[inline(never)]
fn attribute(message: &[u8], depth: u32) -> Result<(Attribute<'_>, Notes), Broken> {
    let mut key: &[u8] = b"";
    let mut value = Any::Empty;
    let mut notes = Notes::default();
    let mut values = 0;
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next()? {
        match (number, field) {
            (key_value::KEY, Value::Bytes(text)) => key = text,
            (key_value::VALUE, Value::Bytes(message)) => {
                let (last, own) = any(message, depth)?;
                value = last;
                notes.add(own);
                values += 1;
            }
            _ => {}
        }
    }
    notes.repeated |= values > 1;
    Ok((Attribute { key, value }, notes))
}

/// The elements of an array whose message was walked before.
pub fn elements(array: &[u8]) -> impl Iterator<Item = Any<'_>> {
    Fields::new(array).filter_map(|field| match field {
        (_, array_value::VALUES, Value::Bytes(message)) => Some(shallow(message)),
        _ => None,
    })
}

/// The pairs of a map whose message was walked before, in wire order, duplicates included, behind those in `list`.
pub fn push_pairs<'a>(map: &'a [u8], list: &mut Vec<Attribute<'a>>) {
    for field in Fields::new(map) {
        if let (_, key_value_list::VALUES, Value::Bytes(message)) = field {
            let place = add_to(list);
            if usual_pair(message, |key, value| *place = Attribute { key, value }).is_none() {
                *place = long_pair(message);
            }
        }
    }
}

/// The pairs of a map whose message was walked before, in wire order, duplicates included.
#[inline(always)]
pub fn each_pair<'a>(map: &'a [u8], mut found: impl FnMut(&'a [u8], Any<'a>)) {
    for field in Fields::new(map) {
        if let (_, key_value_list::VALUES, Value::Bytes(message)) = field {
            if usual_pair(message, &mut found).is_none() {
                let Attribute { key, value } = long_pair(message);
                found(key, value);
            }
        }
    }
}

/// A pair that is not as `usual_pair` has it.
#[inline(always)]
fn long_pair(message: &[u8]) -> Attribute<'_> {
    match usual_column(message) {
        Some((key, array)) => Attribute { key, value: Any::Array(array) },
        None => shallow_pair(message),
    }
}

/// The place of one more attribute, which is written there: one that is pushed is made on the stack and copied from there,
/// while its parts are still on their way to memory.
#[inline(always)]
fn add_to<'l, 'a>(list: &'l mut Vec<Attribute<'a>>) -> &'l mut Attribute<'a> {
    let place = list.len();
    list.push(Attribute::NOTHING);
    &mut list[place]
}

fn shallow(message: &[u8]) -> Any<'_> {
    let mut value = Any::Empty;
    for (_, number, field) in Fields::new(message) {
        value = variant(number, field).unwrap_or(value);
    }
    value
}

fn shallow_pair(message: &[u8]) -> Attribute<'_> {
    let mut pair = Attribute { key: b"", value: Any::Empty };
    for (_, number, field) in Fields::new(message) {
        match (number, field) {
            (key_value::KEY, Value::Bytes(key)) => pair.key = key,
            (key_value::VALUE, Value::Bytes(message)) => pair.value = shallow(message),
            _ => {}
        }
    }
    pair
}

/// Attributes of one record, event, link, scope or resource, and what the limits say of them.
#[derive(Default)]
pub struct Attributes<'a> {
    pub list: Vec<Attribute<'a>>,
    pub notes: Notes,
}

impl<'a> Attributes<'a> {
    #[inline(always)]
    pub fn clear(&mut self) {
        self.list.clear();
        self.notes = Notes::default();
    }

    /// Reads an attribute and those behind it, whose fields begin with the byte `key`.
    #[inline(always)]
    pub fn read_all(&mut self, first: &'a [u8], key: u8, reader: &mut Reader<'a>) -> Result<(), Broken> {
        let mut next = Some(first);
        while let Some(message) = next {
            self.read(message)?;
            next = reader.next_short(key);
        }
        Ok(())
    }

    #[inline(always)]
    pub fn read(&mut self, message: &'a [u8]) -> Result<(), Broken> {
        let place = add_to(&mut self.list);
        if usual_pair(message, |key, value| *place = Attribute { key, value }).is_none() {
            let notes;
            (*place, notes) = attribute(message, 1)?;
            self.notes.add(notes);
        }
        Ok(())
    }
}
