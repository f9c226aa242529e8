//! OTLP requests: the wire format, records, checks, columns.

pub mod check;
pub mod columns;
pub mod decode_error;
pub mod dimensions;
pub mod encode;
pub mod intern;
pub mod label;
pub mod limits;
pub mod log;
pub mod recent;
pub mod rejection;
pub mod request;
pub mod schema;
pub mod span;
pub mod tags;
pub mod terms;
pub mod tracestate;
pub mod value;
pub mod wire;
