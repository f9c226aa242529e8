//! Where a malformed payload breaks: the first field, in wire order, that cannot be read.
//!
//! The readers of records only say that a payload is broken; this walk finds the place. It reads every known field of
//! every message depth first, as the reference decoder does, so that both name the same byte.

use crate::otlp::limits::MAX_DEPTH;
use crate::otlp::schema::{Kind, Message};
use crate::otlp::tags::{any_value, array_value, key_value, key_value_list};
use crate::otlp::wire::{complaint, Reader, Value};

/// What is wrong, and the offset of the field in the payload.
pub struct DecodeError {
    pub message: String,
    pub offset: usize,
}

/// What is searched.
#[derive(Clone, Copy)]
enum Part {
    Message(Message),
    Any,
    Array,
    Map,
    /// A KeyValue.
    Pair,
}

/// The first error of a trace request, None if it is well-formed.
pub fn in_traces(payload: &[u8]) -> Option<DecodeError> {
    locate(payload, payload, Part::Message(Message::TracesRequest), 0)
}

/// The first error of a logs request, None if it is well-formed.
pub fn in_logs(payload: &[u8]) -> Option<DecodeError> {
    locate(payload, payload, Part::Message(Message::LogsRequest), 0)
}

/// `depth` is that of the value that a message is or belongs to; messages outside of values have depth 0.
fn locate(payload: &[u8], message: &[u8], part: Part, depth: u32) -> Option<DecodeError> {
    let depth = if matches!(part, Part::Any) { depth + 1 } else { depth };
    if depth > MAX_DEPTH {
        return None;
    }
    let mut reader = Reader::new(message);
    loop {
        let field = reader.rest();
        match reader.next() {
            Ok(None) => return None,
            Ok(Some((number, Value::Bytes(bytes)))) => {
                if let Some(inner) = part.inner(number, bytes) {
                    let found = locate(payload, bytes, inner, depth);
                    if found.is_some() {
                        return found;
                    }
                }
            }
            Ok(Some(_)) => {}
            Err(_) => {
                let offset = (field.as_ptr() as usize).saturating_sub(payload.as_ptr() as usize);
                return Some(DecodeError { message: complaint(field), offset });
            }
        }
    }
}

impl Part {
    /// What a length-delimited field has to be searched as; None where nothing in it is read.
    fn inner(self, number: u32, content: &[u8]) -> Option<Part> {
        match (self, number) {
            (Part::Message(message), _) => match message.kind(number, &Value::Bytes(content))? {
                Kind::Message(inner) => Some(Part::Message(inner)),
                Kind::Any => Some(Part::Any),
                Kind::Pair => Some(Part::Pair),
                Kind::Scalar | Kind::Text | Kind::Id(_) => None,
            },
            (Part::Any, any_value::ARRAY_VALUE) => Some(Part::Array),
            (Part::Any, any_value::KVLIST_VALUE) => Some(Part::Map),
            (Part::Array, array_value::VALUES) | (Part::Pair, key_value::VALUE) => Some(Part::Any),
            (Part::Map, key_value_list::VALUES) => Some(Part::Pair),
            _ => None,
        }
    }
}
