//! The protobuf wire format: fields of a message, borrowed from the payload, every read bounds-checked.

/// The message cannot be read on. What is wrong and where, `decode_error` finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// Why a walk over a request ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Broken,
    /// A scope or another schema URL stood behind the records, and the walk was not prepared for that.
    LateScope,
}

impl From<Broken> for Stop {
    fn from(_: Broken) -> Self {
        Stop::Broken
    }
}

/// Wire types of fields. Groups (3 and 4) are no part of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Len = 2,
    Fixed32 = 5,
}

/// The value of one field as it stands on the wire.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

pub const MAX_FIELD_NUMBER: u64 = (1 << 29) - 1;
const MAX_VARINT_BYTES: usize = 10;

/// Reads the fields of one message in wire order.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline(always)]
    pub fn new(message: &'a [u8]) -> Self {
        Reader { rest: message }
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next field, None at the end of the message.
    #[inline(always)]
    pub fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Broken> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > MAX_FIELD_NUMBER {
            return Err(Broken);
        }
        let value = match tag & 7 {
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Broken)?;
                let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Broken)?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.fixed()?)),
            5 => Value::Fixed32(u32::from_le_bytes(self.fixed()?)),
            _ => return Err(Broken),
        };
        Ok(Some((number as u32, value)))
    }

    /// The next field where it begins with this byte, which says that its length follows, and is short: one more of a list.
    #[inline(always)]
    pub fn next_short(&mut self, key: u8) -> Option<&'a [u8]> {
        let [first, length @ ..=0x7f, rest @ ..] = self.rest else { return None };
        if *first != key {
            return None;
        }
        let (bytes, rest) = rest.split_at_checked(usize::from(*length))?;
        self.rest = rest;
        Some(bytes)
    }

    /// Go on behind so many bytes, which are whole fields.
    #[inline(always)]
    pub fn pass(&mut self, length: usize) {
        self.rest = self.rest.get(length..).unwrap_or_default();
    }

    /// The eight bytes behind these, where they are what stands next.
    #[inline(always)]
    pub fn fixed64_behind(&mut self, head: &[u8]) -> Option<u64> {
        let (next, rest) = self.rest.split_at_checked(head.len())?;
        let (bits, rest) = rest.split_first_chunk::<8>()?;
        if !are_same(next, head) {
            return None;
        }
        self.rest = rest;
        Some(u64::from_le_bytes(*bits))
    }

    /// An unsigned number of up to ten bytes, modulo 2^64.
    #[inline(always)]
    pub fn varint(&mut self) -> Result<u64, Broken> {
        match *self.rest {
            [byte, ref rest @ ..] if byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(byte))
            }
            [low, high, ref rest @ ..] if high < 0x80 => {
                self.rest = rest;
                Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, Broken> {
        let mut value = 0u64;
        for (index, &byte) in self.rest.iter().take(MAX_VARINT_BYTES).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(Broken)
    }

    #[inline(always)]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or(Broken)?;
        self.rest = rest;
        Ok(*bytes)
    }
}

/// Equality of two that are as long: without a call where they have 16 to 32 bytes.
#[inline(always)]
fn are_same(a: &[u8], b: &[u8]) -> bool {
    match (a.first_chunk::<16>(), a.last_chunk::<16>(), b.first_chunk::<16>(), b.last_chunk::<16>()) {
        (Some(first), Some(last), Some(other_first), Some(other_last)) if a.len() <= 32 => {
            first == other_first && last == other_last
        }
        _ => a == b,
    }
}

/// Where a field begins and ends in its message.
#[derive(Clone, Copy)]
pub struct FieldRange {
    pub begin: usize,
    pub end: usize,
}

/// The fields of a message that was walked before, so that no error is left to meet, each with its place.
pub struct Fields<'a> {
    /// Of the message.
    end: usize,
    reader: Reader<'a>,
}

impl<'a> Fields<'a> {
    #[inline(always)]
    pub fn new(message: &'a [u8]) -> Self {
        Fields::placed(message, 0)
    }

    /// Those of a message that begins at this place: the places of fields are counted as it is.
    #[inline(always)]
    pub fn placed(message: &'a [u8], begin: usize) -> Self {
        Fields { end: begin + message.len(), reader: Reader::new(message) }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (FieldRange, u32, Value<'a>);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let begin = self.end - self.reader.rest().len();
        let (number, value) = self.reader.next().ok().flatten()?;
        Some((FieldRange { begin, end: self.end - self.reader.rest().len() }, number, value))
    }
}

/// What is wrong with a field that `Reader::next` could not read; `field` begins with its first byte.
pub fn complaint(field: &[u8]) -> String {
    let mut reader = Reader::new(field);
    let Ok(tag) = reader.varint() else {
        return varint_complaint(field);
    };
    let number = tag >> 3;
    if number == 0 || number > MAX_FIELD_NUMBER {
        return format!("field number {number} does not exist");
    }
    let needed = match tag & 7 {
        0 => return varint_complaint(reader.rest),
        1 => 8,
        2 => {
            let at = reader.rest;
            match reader.varint() {
                Ok(length) => length,
                Err(Broken) => return varint_complaint(at),
            }
        }
        5 => 4,
        other => return format!("wire type {other} is not used by OTLP"),
    };
    format!("field needs {needed} bytes, {} are left", reader.rest.len())
}

fn varint_complaint(rest: &[u8]) -> String {
    if rest.len() < MAX_VARINT_BYTES { "varint is cut off" } else { "varint is over ten bytes" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(message: &[u8]) -> Result<usize, Broken> {
        let mut reader = Reader::new(message);
        let mut count = 0;
        while reader.next()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn reads_every_wire_type() {
        let message = b"\x08\x96\x01\x11\x01\x02\x03\x04\x05\x06\x07\x08\x1a\x02hi\x25\x01\x02\x03\x04";
        assert_eq!(fields(message), Ok(4));
        assert!(matches!(Reader::new(message).next(), Ok(Some((1, Value::Varint(150))))));
    }

    #[test]
    fn takes_ten_bytes_of_a_number_and_no_more() {
        let most = [&[0x08][..], &[0xff; 9], &[0x01]].concat();
        assert!(matches!(Reader::new(&most).next(), Ok(Some((1, Value::Varint(u64::MAX))))));
        let more = [&[0x08][..], &[0xff; 10], &[0x01]].concat();
        assert_eq!(fields(&more), Err(Broken));
        assert_eq!(complaint(&more), "varint is over ten bytes");
    }

    #[test]
    fn says_what_is_wrong() {
        for (message, expected) in [
            (&b"\x80"[..], "varint is cut off"),
            (b"\x08\x80", "varint is cut off"),
            (b"\x02\x00", "field number 0 does not exist"),
            (b"\x0b", "wire type 3 is not used by OTLP"),
            (b"\x0a\x05ab", "field needs 5 bytes, 2 are left"),
            (b"\x09\x01", "field needs 8 bytes, 1 are left"),
            (b"\x0d", "field needs 4 bytes, 0 are left"),
            (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "field needs 18446744073709551615 bytes, 0 are left"),
        ] {
            assert_eq!(fields(message), Err(Broken));
            assert_eq!(complaint(message), expected);
        }
    }
}
