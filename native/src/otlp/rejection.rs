//! Why one record is refused while the rest of its payload is kept, in words that name the field by path.

use crate::otlp::limits::{MAX_ATTRIBUTES, MAX_DEPTH, MAX_EXPANDED_BYTES, MAX_TIME_NS};
use crate::otlp::value::Attributes;

#[derive(Clone, Copy, Debug)]
pub enum Reason {
    Zeros(&'static str),
    Length {
        field: &'static str,
        found: usize,
        must: usize,
    },
    OptionalLength {
        field: &'static str,
        found: usize,
        must: usize,
    },
    Time {
        field: &'static str,
        value: u64,
    },
    TooMany {
        count: usize,
    },
    TooDeep {
        field: &'static str,
    },
    /// With the records before it, it comes to too much.
    TooLarge,
}

/// A reason, with the event or link of the record that it is about.
#[derive(Clone, Copy, Debug)]
pub struct Rejection {
    pub part: Option<(&'static str, usize)>,
    pub reason: Reason,
}

impl Rejection {
    /// The message for the record (or resource, or scope) at `path`.
    pub fn message(&self, path: &str) -> String {
        let path = match self.part {
            Some((list, index)) => format!("{path}.{list}[{index}]"),
            None => path.to_owned(),
        };
        match self.reason {
            Reason::Zeros(field) => format!("{path}.{field}: all zeros"),
            Reason::Length { field, found, must } => format!("{path}.{field}: {found} bytes, must be {must}"),
            Reason::OptionalLength { field, found, must } => {
                format!("{path}.{field}: {found} bytes, must be {must} or none")
            }
            Reason::Time { field, value } => format!("{path}.{field}: {value}, at most {MAX_TIME_NS}"),
            Reason::TooMany { count } => format!("{path}.attributes: {count}, at most {MAX_ATTRIBUTES}"),
            Reason::TooDeep { field } => format!("{path}.{field}: nested deeper than {MAX_DEPTH}"),
            Reason::TooLarge => format!(
                "{path}: with resource and scope written out for each record the request comes to over \
                 {MAX_EXPANDED_BYTES} bytes here; send fewer records in one, or smaller resource and scope attributes"
            ),
        }
    }
}

impl From<Reason> for Rejection {
    fn from(reason: Reason) -> Self {
        Rejection { part: None, reason }
    }
}

/// An id that must be there.
#[inline(always)]
pub fn required_id<const N: usize>(id: &[u8], field: &'static str) -> Option<Reason> {
    match <&[u8; N]>::try_from(id) {
        Ok(id) if *id != [0; N] => None,
        Ok(_) => Some(Reason::Zeros(field)),
        Err(_) => Some(Reason::Length { field, found: id.len(), must: N }),
    }
}

/// An id of which only the length matters.
#[inline(always)]
pub fn sized_id(id: &[u8], must: usize, field: &'static str) -> Option<Reason> {
    (id.len() != must).then_some(Reason::Length { field, found: id.len(), must })
}

/// An id that may be left out.
#[inline(always)]
pub fn optional_id(id: &[u8], must: usize, field: &'static str) -> Option<Reason> {
    (id.len() != must && !id.is_empty()).then_some(Reason::OptionalLength { field, found: id.len(), must })
}

/// Before 1973: nanoseconds of a clock that was not set, or another unit than nanoseconds.
#[inline(always)]
pub fn is_odd_time(value: u64) -> bool {
    value != 0 && value < 100_000_000_000_000_000
}

#[inline(always)]
pub fn time(value: u64, field: &'static str) -> Option<Reason> {
    (value > MAX_TIME_NS).then_some(Reason::Time { field, value })
}

#[inline(always)]
pub fn attributes(attributes: &Attributes<'_>) -> Option<Reason> {
    let count = attributes.list.len();
    if count > MAX_ATTRIBUTES {
        return Some(Reason::TooMany { count });
    }
    attributes.notes.too_deep.then_some(Reason::TooDeep { field: "attributes" })
}
