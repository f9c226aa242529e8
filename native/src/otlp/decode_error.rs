//! Where a malformed payload breaks: the first field, in wire order, that cannot be read.
//!
//! The readers of records only say that a payload is broken; this walk finds the place. It reads every known field of
//! every message depth first, as the reference decoder does, so that both name the same byte.

use crate::otlp::limits::MAX_DEPTH;
use crate::otlp::wire::{complaint, Reader, Value};

/// What is wrong, and the offset of the field in the payload.
pub struct Fault {
    pub message: String,
    pub offset: usize,
}

/// The messages inside a message, by field number.
enum Shape {
    Message(&'static [(u32, &'static Shape)]),
    Any,
    Array,
    Map,
    /// A KeyValue.
    Pair,
}

const RESOURCE: Shape = Shape::Message(&[(1, &Shape::Pair)]);
const SCOPE: Shape = Shape::Message(&[(3, &Shape::Pair)]);
const EVENT: Shape = Shape::Message(&[(3, &Shape::Pair)]);
const LINK: Shape = Shape::Message(&[(4, &Shape::Pair)]);
const STATUS: Shape = Shape::Message(&[]);
const SPAN: Shape = Shape::Message(&[(9, &Shape::Pair), (11, &EVENT), (13, &LINK), (15, &STATUS)]);
const LOG: Shape = Shape::Message(&[(5, &Shape::Any), (6, &Shape::Pair)]);
const SCOPE_SPANS: Shape = Shape::Message(&[(1, &SCOPE), (2, &SPAN)]);
const SCOPE_LOGS: Shape = Shape::Message(&[(1, &SCOPE), (2, &LOG)]);
const RESOURCE_SPANS: Shape = Shape::Message(&[(1, &RESOURCE), (2, &SCOPE_SPANS)]);
const RESOURCE_LOGS: Shape = Shape::Message(&[(1, &RESOURCE), (2, &SCOPE_LOGS)]);
const TRACES: Shape = Shape::Message(&[(1, &RESOURCE_SPANS)]);
const LOGS: Shape = Shape::Message(&[(1, &RESOURCE_LOGS)]);

/// The first fault of a trace request, None if it is well-formed.
pub fn in_traces(payload: &[u8]) -> Option<Fault> {
    locate(payload, payload, &TRACES, 0)
}

/// The first fault of a logs request, None if it is well-formed.
pub fn in_logs(payload: &[u8]) -> Option<Fault> {
    locate(payload, payload, &LOGS, 0)
}

/// `depth` is that of the value that a message is or belongs to; messages outside of values have depth 0.
fn locate(payload: &[u8], message: &[u8], shape: &Shape, depth: u32) -> Option<Fault> {
    let depth = if matches!(shape, Shape::Any) { depth + 1 } else { depth };
    if depth > MAX_DEPTH {
        return None;
    }
    let mut reader = Reader::new(message);
    loop {
        let field = reader.rest();
        match reader.next() {
            Ok(None) => return None,
            Ok(Some((number, Value::Bytes(bytes)))) => {
                if let Some(inner) = shape.inner(number) {
                    let found = locate(payload, bytes, inner, depth);
                    if found.is_some() {
                        return found;
                    }
                }
            }
            Ok(Some(_)) => {}
            Err(_) => {
                let offset = (field.as_ptr() as usize).saturating_sub(payload.as_ptr() as usize);
                return Some(Fault { message: complaint(field), offset });
            }
        }
    }
}

impl Shape {
    fn inner(&self, number: u32) -> Option<&'static Shape> {
        match (self, number) {
            (Shape::Message(fields), _) => fields.iter().find(|(known, _)| *known == number).map(|(_, shape)| *shape),
            (Shape::Any, 5) => Some(&Shape::Array),
            (Shape::Any, 6) => Some(&Shape::Map),
            (Shape::Array, 1) | (Shape::Pair, 2) => Some(&Shape::Any),
            (Shape::Map, 1) => Some(&Shape::Pair),
            _ => None,
        }
    }
}
